//! `metrics`: one sample of one machine.

use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::json::Cursor;
use monsys_core::limit;
use monsys_core::sample::{Cores, Count, CpuPercent, Disk, Finite, MetricSample, Network};
use monsys_core::text;

use super::field::{self, Member, array, object, optional, required, within};
use crate::reject::Reject;

/// Reads the data of a `metrics` payload.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<MetricSample, Reject> {
    let mut draft = Draft::default();
    object(cursor, |cursor, name| draft.read_member(cursor, name))?;
    let cpu_usage_percent = required(cursor, draft.cpu_usage_percent, "cpu_usage_percent")?;
    Ok(MetricSample {
        cpu_usage_percent,
        cpu_cores: draft.cpu_cores,
        load1: draft.load1,
        load5: draft.load5,
        load15: draft.load15,
        mem_total_bytes: draft.mem_total_bytes,
        mem_used_bytes: draft.mem_used_bytes,
        swap_total_bytes: draft.swap_total_bytes,
        swap_used_bytes: draft.swap_used_bytes,
        uptime_seconds: draft.uptime_seconds,
        disks: draft.disks,
        networks: draft.networks,
    })
}

/// A sample of which members may still be missing.
#[derive(Default)]
struct Draft {
    cpu_usage_percent: Option<CpuPercent>,
    cpu_cores: Option<Cores>,
    load1: Option<Finite>,
    load5: Option<Finite>,
    load15: Option<Finite>,
    mem_total_bytes: Option<Count>,
    mem_used_bytes: Option<Count>,
    swap_total_bytes: Option<Count>,
    swap_used_bytes: Option<Count>,
    uptime_seconds: Option<Finite>,
    disks: Option<Vec<Disk>>,
    networks: Option<Vec<Network>>,
}

impl Draft {
    fn read_member(&mut self, cursor: &mut Cursor<'_>, name: &str) -> Result<Member, Reject> {
        match name {
            "cpu_usage_percent" => self.cpu_usage_percent = Some(percent(cursor)?),
            "cpu_cores" => self.cpu_cores = optional(cursor, cores)?,
            "load1" => self.load1 = optional(cursor, non_negative)?,
            "load5" => self.load5 = optional(cursor, non_negative)?,
            "load15" => self.load15 = optional(cursor, non_negative)?,
            "mem_total_bytes" => self.mem_total_bytes = optional(cursor, field::count)?,
            "mem_used_bytes" => self.mem_used_bytes = optional(cursor, field::count)?,
            "swap_total_bytes" => self.swap_total_bytes = optional(cursor, field::count)?,
            "swap_used_bytes" => self.swap_used_bytes = optional(cursor, field::count)?,
            "uptime_seconds" => self.uptime_seconds = optional(cursor, non_negative)?,
            "disks" => self.disks = optional(cursor, disks)?,
            "networks" => self.networks = optional(cursor, networks)?,
            _ => return Ok(Member::Unknown),
        }
        Ok(Member::Known)
    }
}

fn percent(cursor: &mut Cursor<'_>) -> Result<CpuPercent, Reject> {
    let value = field::number(cursor)?;
    within(
        cursor,
        CpuPercent::new(value),
        "percent points from 0 to 100",
    )
}

fn cores(cursor: &mut Cursor<'_>) -> Result<Cores, Reject> {
    let value = field::integer(cursor)?;
    within(cursor, Cores::new(value), "1 to 65536 cores")
}

fn non_negative(cursor: &mut Cursor<'_>) -> Result<Finite, Reject> {
    let value = field::number(cursor)?;
    within(
        cursor,
        Finite::non_negative(value),
        "a number that is not negative",
    )
}

fn disks(cursor: &mut Cursor<'_>) -> Result<Vec<Disk>, Reject> {
    array(
        cursor,
        limit::DEVICES_PER_SAMPLE_MAX,
        "at most 256 disks",
        disk,
    )
}

fn networks(cursor: &mut Cursor<'_>) -> Result<Vec<Network>, Reject> {
    array(
        cursor,
        limit::DEVICES_PER_SAMPLE_MAX,
        "at most 256 networks",
        network,
    )
}

fn disk(cursor: &mut Cursor<'_>) -> Result<Disk, Reject> {
    let (mut mount, mut total_bytes, mut used_bytes) = (None, None, None);
    object(cursor, |cursor, name| {
        match name {
            "mount" => {
                let expected = "a mount point of 1 to 1024 bytes";
                mount = Some(clean_name(cursor, limit::MOUNT_BYTES_MAX, expected)?);
            }
            "total_bytes" => total_bytes = Some(field::count(cursor)?),
            "used_bytes" => used_bytes = Some(field::count(cursor)?),
            _ => return Ok(Member::Unknown),
        }
        Ok(Member::Known)
    })?;
    Ok(Disk {
        mount: required(cursor, mount, "mount")?,
        total_bytes: required(cursor, total_bytes, "total_bytes")?,
        used_bytes: required(cursor, used_bytes, "used_bytes")?,
    })
}

fn network(cursor: &mut Cursor<'_>) -> Result<Network, Reject> {
    let (mut interface, mut rx_bytes, mut tx_bytes) = (None, None, None);
    object(cursor, |cursor, name| {
        match name {
            "interface" => {
                let expected = "an interface name of 1 to 256 bytes";
                interface = Some(clean_name(cursor, limit::INTERFACE_BYTES_MAX, expected)?);
            }
            "rx_bytes" => rx_bytes = Some(field::count(cursor)?),
            "tx_bytes" => tx_bytes = Some(field::count(cursor)?),
            _ => return Ok(Member::Unknown),
        }
        Ok(Member::Known)
    })?;
    Ok(Network {
        interface: required(cursor, interface, "interface")?,
        rx_bytes: required(cursor, rx_bytes, "rx_bytes")?,
        tx_bytes: required(cursor, tx_bytes, "tx_bytes")?,
    })
}

/// A name of bounded length, without what would be unsafe to show.
fn clean_name(
    cursor: &mut Cursor<'_>,
    bytes_max: usize,
    expected: &'static str,
) -> Result<String, Reject> {
    let name = field::text(cursor)?;
    if name.is_empty() || name.len() > bytes_max {
        return Err(field::out_of_range(cursor, expected));
    }
    Ok(text::clean(&name, bytes_max))
}
