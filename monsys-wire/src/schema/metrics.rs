//! `metrics`: one sample of one machine.

use alloc::vec::Vec;

use monsys_core::json::Cursor;
use monsys_core::limit;
use monsys_core::sample::{Cores, CpuPercent, Disk, Finite, MetricSample, Network};
use monsys_core::text::{self, ShortText};

use super::cleaned::{CleanedTexts, TextMember};
use super::field::{self, array, member, optional_member, required, within};
use crate::reject::Reject;

/// Reads the data of a `metrics` payload.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    cleaned: &mut CleanedTexts,
) -> Result<MetricSample, Reject> {
    field::enter_object(cursor)?;
    let cpu_cores = optional_member(cursor, "cpu_cores", cores)?;
    let cpu_usage_percent = member(cursor, "cpu_usage_percent", percent)?;
    let disks = optional_member(cursor, "disks", |cursor| disks(cursor, cleaned))?;
    let load1 = optional_member(cursor, "load1", non_negative)?;
    let load15 = optional_member(cursor, "load15", non_negative)?;
    let load5 = optional_member(cursor, "load5", non_negative)?;
    let mem_total_bytes = optional_member(cursor, "mem_total_bytes", field::count)?;
    let mem_used_bytes = optional_member(cursor, "mem_used_bytes", field::count)?;
    let networks = optional_member(cursor, "networks", |cursor| networks(cursor, cleaned))?;
    let swap_total_bytes = optional_member(cursor, "swap_total_bytes", field::count)?;
    let swap_used_bytes = optional_member(cursor, "swap_used_bytes", field::count)?;
    let uptime_seconds = optional_member(cursor, "uptime_seconds", non_negative)?;
    field::leave_object(cursor)?;
    Ok(MetricSample {
        cpu_usage_percent: required(cursor, cpu_usage_percent, "cpu_usage_percent")?,
        cpu_cores,
        load1,
        load5,
        load15,
        mem_total_bytes,
        mem_used_bytes,
        swap_total_bytes,
        swap_used_bytes,
        uptime_seconds,
        disks,
        networks,
    })
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

fn disks(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Vec<Disk>, Reject> {
    array(
        cursor,
        limit::DEVICES_PER_SAMPLE_MAX,
        "at most 256 disks",
        |cursor| disk(cursor, cleaned),
    )
}

fn networks(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Vec<Network>, Reject> {
    array(
        cursor,
        limit::DEVICES_PER_SAMPLE_MAX,
        "at most 256 networks",
        |cursor| network(cursor, cleaned),
    )
}

fn disk(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Disk, Reject> {
    field::enter_object(cursor)?;
    let mount = member(cursor, "mount", |cursor| {
        let expected = "a mount point of 1 to 1024 bytes";
        let of = (TextMember::DiskMount, limit::MOUNT_BYTES_MAX);
        clean_name(cursor, of, expected, cleaned)
    })?;
    let total_bytes = member(cursor, "total_bytes", field::count)?;
    let used_bytes = member(cursor, "used_bytes", field::count)?;
    field::leave_object(cursor)?;
    Ok(Disk {
        mount: required(cursor, mount, "mount")?,
        total_bytes: required(cursor, total_bytes, "total_bytes")?,
        used_bytes: required(cursor, used_bytes, "used_bytes")?,
    })
}

fn network(cursor: &mut Cursor<'_>, cleaned: &mut CleanedTexts) -> Result<Network, Reject> {
    field::enter_object(cursor)?;
    let interface = member(cursor, "interface", |cursor| {
        let expected = "an interface name of 1 to 256 bytes";
        let of = (TextMember::NetworkInterface, limit::INTERFACE_BYTES_MAX);
        clean_name(cursor, of, expected, cleaned)
    })?;
    let rx_bytes = member(cursor, "rx_bytes", field::count)?;
    let tx_bytes = member(cursor, "tx_bytes", field::count)?;
    field::leave_object(cursor)?;
    Ok(Network {
        interface: required(cursor, interface, "interface")?,
        rx_bytes: required(cursor, rx_bytes, "rx_bytes")?,
        tx_bytes: required(cursor, tx_bytes, "tx_bytes")?,
    })
}

/// A name of bounded length, without what would be unsafe to show.
fn clean_name(
    cursor: &mut Cursor<'_>,
    (of, bytes_max): (TextMember, usize),
    expected: &'static str,
    cleaned: &mut CleanedTexts,
) -> Result<ShortText, Reject> {
    let name = field::text(cursor)?;
    if name.is_empty() || name.len() > bytes_max {
        return Err(field::out_of_range(cursor, expected));
    }
    let kept = text::clean_short(&name, bytes_max);
    cleaned.compare(of, &name, &kept);
    Ok(kept)
}
