//! What tests show: agents, scores, events and machines, rendered.

use std::collections::BTreeMap;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::endpoint::{
    AuthCount, AuthOutcome, CollectorHealth, CollectorState, EndpointSnapshot, EndpointText,
    Listener, Persistence, Process,
};
use monsys_core::id::AnomalyId;
use monsys_core::ledger::EventKind;
use monsys_core::sample::Count;
use monsys_core::severity::Severity;
use monsys_core::store::{AgentSummary, AnomalyCursor, AnomalyRow, AnomalyState, KindCount};
use monsys_core::time::Span;
use monsys_signals::trust::{self, FleetTrust, Scratch};
use monsys_signals::{Catalog, TrustScore};

use super::tests::{ago, now, standing, viewer};
use super::*;
use crate::store::{
    Activity, ActivityKind, ActivityPage, ActivityPlace, Actor, CollectorChange, FleetCursor,
    FleetFilter, FleetOrder, FleetPage, FleetRow, Happened, LoginCount, StoredSnapshot,
};

pub(super) fn render_fleet(agents: &[AgentSummary], organisation: &str) -> String {
    let worst = scored(agents);
    let (fleet, spread) = summed(&worst);
    let view = Fleet {
        viewer: viewer(organisation, Access::Admin),
        fleet: &fleet,
        spread,
        worst: &worst,
        trend: &Trend::TooMuch,
        unmapped: &[String::from("my_check")],
        is_cut: true,
        now: now(),
    };
    super::fleet(&view).unwrap()
}

pub(super) fn scored(agents: &[AgentSummary]) -> Vec<(AgentSummary, TrustScore)> {
    let (standing, catalog) = (standing(), Catalog::standard());
    let (views, mut scratch) = (standing.views(), Scratch::new());
    let scores = trust::scores(&views, &catalog, &mut scratch, now());
    let scores: BTreeMap<_, _> = scores
        .map(|(subject, score)| (subject.subject_id.to_owned(), score))
        .collect();
    let scored = agents.iter().map(|agent| {
        let score = scores.get(&agent.agent.to_string()).copied();
        (agent.clone(), score.unwrap_or_else(TrustScore::unobserved))
    });
    scored.collect()
}

pub(super) fn summed(scored: &[(AgentSummary, TrustScore)]) -> (FleetTrust, Spread) {
    let (mut fleet, mut spread) = (FleetTrust::new(), Spread::default());
    for (_, score) in scored {
        fleet.add(score);
        spread.add(score);
    }
    (fleet, spread)
}

pub(super) fn render_devices(agents: &[AgentSummary], text: &str) -> String {
    let mut filter = FleetFilter::all(ago(3_600));
    filter.text = Some(text.to_owned());
    filter.version = Some(text.to_owned());
    let rows = agents.iter().map(|agent| FleetRow {
        agent: agent.clone(),
        last: None,
    });
    let page = FleetPage {
        rows: rows.collect(),
        next: Some(FleetCursor {
            order: FleetOrder::Name,
            key: 0,
            name: text.to_owned(),
        }),
        n_matching: 2,
    };
    let view = Devices {
        viewer: viewer(text, Access::Admin),
        filter: &filter,
        order: FleetOrder::Name,
        after: None,
        back: &Trail::default(),
        page: &page,
        scores: &|_| Some(TrustScore::unobserved()),
        versions: &[text].into(),
        n_agents: 2,
        now: now(),
    };
    devices(&view).unwrap()
}

pub(super) fn render_events(rows: &[AnomalyRow], text: &str) -> String {
    let place = |kind, number| ActivityPlace {
        at: ago(60),
        kind,
        number,
    };
    let (agent, agent_name) = (rows[0].anomaly.agent, text.to_owned());
    let anomalies = (1..).zip(rows).map(|(number, row)| Activity {
        place: place(ActivityKind::Anomaly, number),
        what: Happened::Anomaly {
            event: EventKind::Opened,
            anomaly: row.anomaly.id,
            kind: row.anomaly.finding.kind,
            severity: row.anomaly.finding.severity,
            agent,
            agent_name: agent_name.clone(),
            actor: Actor::Person(text.to_owned()),
        },
    });
    let login = Activity {
        place: place(ActivityKind::Login, 1),
        what: Happened::Login {
            agent,
            agent_name: agent_name.clone(),
            counts: vec![LoginCount {
                service: text.to_owned(),
                outcome: AuthOutcome::Failure,
                count: 3,
            }],
        },
    };
    let collector = Activity {
        place: place(ActivityKind::Collector, 1),
        what: Happened::Collector {
            agent,
            agent_name: agent_name.clone(),
            changes: vec![CollectorChange {
                collector: text.to_owned(),
                state: CollectorState::Degraded,
                reason: Some(text.to_owned()),
                was: CollectorState::Ok,
            }],
        },
    };
    let audit = Activity {
        place: place(ActivityKind::Audit, 1),
        what: Happened::Audit {
            actor: text.to_owned(),
            action: text.to_owned(),
            subject: text.to_owned(),
        },
    };
    let page = ActivityPage {
        rows: anomalies.chain([login, collector, audit]).collect(),
        next: Some(place(ActivityKind::Audit, 1)),
    };
    let view = Events {
        viewer: viewer(text, Access::Admin),
        kind: None,
        agent: text,
        range: "24h",
        after: Some(place(ActivityKind::Anomaly, 9)),
        back: &Trail::default(),
        page: &page,
        now: now(),
    };
    events(&view).unwrap()
}

pub(super) fn snapshot(text: &str) -> StoredSnapshot {
    let (name, path) = (EndpointText::name(text), EndpointText::path(text));
    StoredSnapshot {
        at: ago(30),
        seen: EndpointSnapshot {
            processes: vec![Process {
                name: name.clone(),
                pid: 1,
                exe: Some(path.clone()),
                username: Some(name.clone()),
            }],
            listeners: vec![Listener {
                ip: std::net::Ipv4Addr::LOCALHOST.into(),
                port: 22,
                process: Some(name.clone()),
            }],
            auth: vec![AuthCount {
                service: name.clone(),
                outcome: AuthOutcome::Failure,
                count: Count::new(3).unwrap(),
            }],
            persistence: vec![Persistence {
                kind: name.clone(),
                path,
            }],
            health: vec![CollectorHealth {
                collector: name.clone(),
                state: CollectorState::Degraded,
                reason: Some(name),
            }],
        },
    }
}

pub(super) fn readings(cpu: &[f64], mount: &str) -> Readings {
    let points = (0..).zip(cpu).map(|(n, value)| Point {
        at: ago(600 - 15 * n),
        low: *value,
        mean: *value,
        high: *value,
    });
    let disk = serde_json::json!([{"mount": mount, "total_bytes": 10, "used_bytes": 9}]);
    Readings {
        reach: Reach::parse("1h", ("", ""), now()).unwrap(),
        step: Span::from_secs(15),
        drawn: vec![Series {
            name: mount.to_owned(),
            points: points.collect(),
        }],
        disks: Disk::all(&disk.to_string()),
        is_cut: false,
    }
}

pub(super) fn cursor(byte: u8) -> AnomalyCursor {
    AnomalyCursor {
        state: AnomalyState::Open,
        id: AnomalyId::from_random_bytes([byte; 16]),
    }
}

pub(super) fn count(kind: AnomalyKind, n_open: u64, worst: Severity) -> KindCount {
    KindCount {
        kind,
        n_open,
        worst: Some(worst),
    }
}
