//! Samples over HTTP: page by page, or drawn as a series.
//!
//! A page by its number is the rows that stand there when it is asked for. What arrives in between
//! moves them, so that each answer names the moment up to which it read, `as_of`; who passes it on
//! gets pages of the same rows, and the same `total`. A `next_cursor` needs neither: it is a place
//! among the rows, and costs the same on the last page as on the first.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::fleet::check_org;
use super::parameters::{self, Parameters};
use super::problem;
use crate::app::App;
use crate::security::principal::Principal;
use crate::security::session::ApiSession;
use crate::store::{
    Buckets, HubStore, SampleFilter, SamplePage, SamplePlace, SampleStart, SampleTotal, Series,
    SeriesOf, StoredSample,
};

/// Rows of a page when the caller does not say (row A10).
const PAGE_ROWS: u32 = 50;
/// Points of a series when the caller does not say, and at most: more than a chart has pixels.
const POINTS: u32 = 240;
const POINTS_MAX: u32 = 1_000;
/// How long a series is when the caller does not say.
const SERIES_SPAN: Span = Span::from_secs(limit::WINDOW_S);

/// What somebody asks of the samples.
#[derive(Debug)]
struct Wanted {
    device: Option<String>,
    page: Option<u32>,
    n_rows: u32,
    as_of: Option<Timestamp>,
    after: Option<SamplePlace>,
}

impl Wanted {
    #[expect(clippy::result_large_err, reason = "the refusal is the answer")]
    fn parse(parameters: &Parameters, session: &Principal) -> Result<Self, Response> {
        let mut wanted = Self {
            device: None,
            page: None,
            n_rows: PAGE_ROWS,
            as_of: None,
            after: None,
        };
        for (name, value) in parameters.iter() {
            if name == "org_id" {
                check_org(session, value)?;
            } else {
                wanted.take(name, value).map_err(problem::unprocessable)?;
            }
        }
        let is_both = wanted.after.is_some() && wanted.page.is_some();
        if is_both {
            return Err(problem::unprocessable("expected page or cursor, not both"));
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "device_id" => {
                if value.len() > limit::DISPLAY_NAME_BYTES_MAX || value.contains('\0') {
                    return Err("expected device_id to be at most 128 bytes without U+0000");
                }
                self.device = Some(value.to_owned());
            }
            "page" => {
                let expected = "expected page to be 1 or more";
                self.page = Some(parameters::count(value, u32::MAX, expected)?);
            }
            "page_size" => {
                let expected = "expected page_size to be 1 to 200";
                self.n_rows = parameters::count(value, limit::PAGE_ROWS_MAX, expected)?;
            }
            "as_of" => {
                let expected = "expected as_of to be that of an earlier answer";
                self.as_of = Some(Timestamp::parse_rfc3339(value).map_err(|_| expected)?);
            }
            "cursor" => {
                let place = SamplePlace::parse(value);
                self.after = Some(place.map_err(|_| "expected cursor to be a next_cursor")?);
            }
            _ => {
                return Err(
                    "expected the parameters org_id, device_id, page, page_size, as_of, cursor",
                );
            }
        }
        Ok(())
    }
}

/// `GET /v1/metrics`: samples of a device or of the organisation, the newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    parameters: Parameters,
) -> Response {
    let wanted = match Wanted::parse(&parameters, &session) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal,
    };
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let store = app.store.as_ref();
    let until = wanted.as_of.unwrap_or(now);
    let agent = match find(store, tenant, wanted.device.as_deref()).await {
        Ok(Some(agent)) => agent,
        // A device that there is not has sent nothing.
        Ok(None) => return super::json(&Listing::empty(&wanted, until)),
        Err(error) => return problem::of_store(&error),
    };
    let filter = SampleFilter { agent, until };
    // All samples of an organisation are many to count.
    let _place = match agent {
        None => Some(app.wide_reads.enter(tenant).await),
        Some(_) => None,
    };
    match read(store, tenant, filter, &wanted).await {
        Ok(Some((page, total))) => super::json(&Listing::new(&page, total, &wanted, until)),
        Ok(None) => problem::unprocessable(
            "expected a page within the first 1000000 samples, or a cursor beyond",
        ),
        Err(error) => problem::of_store(&error),
    }
}

/// Finds the agent that is meant by its name or identifier; `Some(None)` where all are.
async fn find(
    store: &dyn HubStore,
    tenant: TenantId,
    device: Option<&str>,
) -> Result<Option<Option<AgentId>>, StoreError> {
    let Some(device) = device else {
        return Ok(Some(None));
    };
    let by_name = store.agent_by_name(tenant, device.to_owned()).await?;
    let found = by_name.or_else(|| AgentId::parse(device).ok());
    Ok(found.map(Some))
}

/// Reads a page, and how many samples there are unless it is behind a cursor; nothing for a page
/// that lies further back than is counted.
async fn read(
    store: &dyn HubStore,
    tenant: TenantId,
    filter: SampleFilter,
    wanted: &Wanted,
) -> Result<Option<(SamplePage, Option<SampleTotal>)>, StoreError> {
    if let Some(place) = wanted.after {
        let start = SampleStart::Behind(place);
        let page = store.samples(tenant, filter, start, wanted.n_rows).await?;
        return Ok(Some((page, None)));
    }
    let total = store.sample_total(tenant, filter).await?;
    let skip = u64::from(wanted.page.unwrap_or(1) - 1) * u64::from(wanted.n_rows);
    if skip >= total.n_samples && skip > 0 {
        let is_behind_all = total.is_exact;
        return Ok(is_behind_all.then(|| (SamplePage::default(), Some(total))));
    }
    let start = SampleStart::Skip(skip);
    let page = store.samples(tenant, filter, start, wanted.n_rows).await?;
    Ok(Some((page, Some(total))))
}

#[derive(Serialize)]
struct Listing<'a> {
    items: Vec<ShownSample<'a>>,
    /// Null behind a cursor.
    page: Option<u32>,
    page_size: u32,
    /// How many there are on all pages together, up to a million; null behind a cursor.
    total: Option<u64>,
    /// Whether there are just so many, and not more than were counted.
    total_exact: Option<bool>,
    /// Up to which moment was read.
    as_of: String,
    next_cursor: Option<String>,
}

impl<'a> Listing<'a> {
    fn new(
        page: &'a SamplePage,
        total: Option<SampleTotal>,
        wanted: &Wanted,
        until: Timestamp,
    ) -> Self {
        let is_numbered = wanted.after.is_none();
        Self {
            items: page.rows.iter().map(ShownSample::new).collect(),
            page: is_numbered.then_some(wanted.page.unwrap_or(1)),
            page_size: wanted.n_rows,
            total: total.map(|total| total.n_samples),
            total_exact: total.map(|total| total.is_exact),
            as_of: until.to_rfc3339(),
            next_cursor: page.next.map(|place| place.to_string()),
        }
    }

    fn empty(wanted: &Wanted, until: Timestamp) -> Self {
        let none = SampleTotal {
            n_samples: 0,
            is_exact: true,
        };
        let total = wanted.after.is_none().then_some(none);
        Self::new(&NONE, total, wanted, until)
    }
}

/// The page of a device that there is not.
static NONE: SamplePage = SamplePage {
    rows: Vec::new(),
    next: None,
};

/// A sample with the members of its payload (contract §2), and what the hub knows of it.
#[derive(Serialize)]
struct ShownSample<'a> {
    id: String,
    agent_id: String,
    device_id: &'a str,
    time: String,
    captured_at: String,
    sent_at: String,
    epoch: u64,
    seq: u64,
    spooled: bool,
    verified: bool,
    cpu_usage_percent: f64,
    cpu_cores: Option<i64>,
    load1: Option<f64>,
    load5: Option<f64>,
    load15: Option<f64>,
    mem_total_bytes: Option<i64>,
    mem_used_bytes: Option<i64>,
    swap_total_bytes: Option<i64>,
    swap_used_bytes: Option<i64>,
    uptime_seconds: Option<f64>,
    disks: Option<&'a RawValue>,
    networks: Option<&'a RawValue>,
}

impl<'a> ShownSample<'a> {
    fn new(sample: &'a StoredSample) -> Self {
        let [load1, load5, load15] = sample.load;
        let json = |text: &'a Option<String>| serde_json::from_str(text.as_deref()?).ok();
        Self {
            id: sample.place.to_string(),
            agent_id: sample.place.agent.to_string(),
            device_id: &sample.agent_name,
            time: sample.place.at.to_rfc3339(),
            captured_at: sample.captured_at.to_rfc3339(),
            sent_at: sample.sent_at.to_rfc3339(),
            epoch: sample.place.epoch,
            seq: sample.place.seq,
            spooled: sample.is_spooled,
            verified: sample.is_verified,
            cpu_usage_percent: sample.cpu_usage_percent,
            cpu_cores: sample.counts.cpu_cores,
            load1,
            load5,
            load15,
            mem_total_bytes: sample.counts.mem_total_bytes,
            mem_used_bytes: sample.counts.mem_used_bytes,
            swap_total_bytes: sample.counts.swap_total_bytes,
            swap_used_bytes: sample.counts.swap_used_bytes,
            uptime_seconds: sample.uptime_seconds,
            disks: json(&sample.disks),
            networks: json(&sample.networks),
        }
    }
}

/// What somebody asks of a series.
#[derive(Debug)]
struct WantedSeries {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    n_points: u32,
    of: SeriesOf,
}

impl WantedSeries {
    fn parse(parameters: &Parameters) -> Result<Self, &'static str> {
        let mut wanted = Self {
            from: None,
            to: None,
            n_points: POINTS,
            of: SeriesOf::Cpu,
        };
        for (name, value) in parameters.iter() {
            wanted.take(name, value)?;
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let time = || Timestamp::parse_rfc3339(value).ok();
        match name {
            "from" => {
                let expected = "expected from to be a time such as 2026-11-21T01:15:41Z";
                self.from = Some(time().ok_or(expected)?);
            }
            "to" => {
                let expected = "expected to to be a time such as 2026-11-21T02:15:41Z";
                self.to = Some(time().ok_or(expected)?);
            }
            "points" => {
                let expected = "expected points to be 1 to 1000";
                self.n_points = parameters::count(value, POINTS_MAX, expected)?;
            }
            "of" => {
                let expected = "expected of to be cpu, memory or load";
                self.of = SeriesOf::parse(value).ok_or(expected)?;
            }
            _ => return Err("expected the parameters from, to, points, of"),
        }
        Ok(())
    }

    /// The time that is wanted, the last hour when nobody says.
    fn buckets(&self, now: Timestamp) -> Result<Buckets, &'static str> {
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or_else(|| to.saturating_sub(SERIES_SPAN));
        let expected = "expected from to lie before to, and at most 14 days";
        if to.since(from) > Span::from_secs(limit::METRICS_RETENTION_S) {
            return Err(expected);
        }
        Buckets::new(from, to, self.n_points).ok_or(expected)
    }
}

/// `GET /api/v1/agents/{id}/series`: what an agent measured, in pieces of time.
pub(crate) async fn series(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Response {
    let Ok(agent) = AgentId::parse(&id) else {
        return problem::not_found();
    };
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let asked =
        WantedSeries::parse(&parameters).and_then(|wanted| Ok((wanted.of, wanted.buckets(now)?)));
    let (of, buckets) = match asked {
        Ok(asked) => asked,
        Err(expected) => return problem::unprocessable(expected),
    };
    let read = async {
        // Tells an agent that there is not from one that sent nothing.
        app.store.agent(tenant, agent, 0, now).await?;
        app.store.series(tenant, agent, of, buckets).await
    };
    match read.await {
        Ok(series) => super::json(&ShownSeries::new(agent, of, buckets, &series)),
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Serialize)]
struct ShownSeries {
    agent_id: String,
    of: &'static str,
    from: String,
    to: String,
    /// How long the time of one point is, in microseconds.
    width_us: i64,
    points: Vec<ShownPoint>,
    /// Whether all samples of the time were read; where not, the oldest are missing.
    complete: bool,
}

/// What was measured from `at` on; times without a value have no point.
#[derive(Serialize)]
struct ShownPoint {
    at: String,
    samples: u64,
    min: f64,
    mean: f64,
    max: f64,
}

impl ShownSeries {
    fn new(agent: AgentId, of: SeriesOf, buckets: Buckets, series: &Series) -> Self {
        let point = |bucket: &crate::store::Bucket| ShownPoint {
            at: bucket.at.to_rfc3339(),
            samples: bucket.n_samples,
            min: bucket.min,
            mean: bucket.mean,
            max: bucket.max,
        };
        Self {
            agent_id: agent.to_string(),
            of: of.as_str(),
            from: buckets.from().to_rfc3339(),
            to: buckets.end().to_rfc3339(),
            width_us: buckets.width().micros(),
            points: series.buckets.iter().map(point).collect(),
            complete: !series.is_cut,
        }
    }
}
