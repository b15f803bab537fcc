//! What must hold of every page.

use std::collections::BTreeMap;

use monsys_core::anomaly::{Anomaly, AnomalyKind, Closed, Finding, Resolution};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::severity::Severity;
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{
    AgentSummary, AnomalyFilter, AnomalyPage, AnomalyRow, KeyState, KindCount, PublicKey,
};
use monsys_core::time::{Span, Timestamp};
use monsys_signals::controls::Controls;
use monsys_signals::correlate::Correlator;
use monsys_signals::trust::{self, Scratch};
use monsys_signals::{Catalog, pareto};

use super::samples::{
    count, cursor, readings, render_devices, render_events, render_fleet, scored, snapshot, summed,
};
use super::*;
use crate::standing::Standing;
use crate::store::Actor;

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>";
const ATTRIBUTE: &str = "' onfocus='alert(1)' style='x";

#[test]
fn hostile_text_stays_inert_everywhere() {
    for hostile in [SCRIPT, IMAGE, ATTRIBUTE] {
        for html in all_pages(hostile, Access::Admin) {
            assert!(!html.contains(hostile), "{hostile} came through");
            assert_is_clean(&html);
        }
    }
}

#[test]
fn hostile_text_is_shown_and_not_dropped() {
    let rows = [row(1, SCRIPT, false), row(2, SCRIPT, true)];
    let html = integrity_page(&rows, Access::Admin);
    let escaped = "&#60;script&#62;alert(1)&#60;/script&#62;";
    // Two rows with agent, summary and detail each, what is ticked and resolved, and one note.
    assert!(html.matches(escaped).count() >= 9, "{html}");
    assert!(html.contains(&format!(
        "<blockquote class=\"note\">{escaped}</blockquote>"
    )));
}

#[test]
fn detail_is_shown_as_stored() {
    let mut stored = row(1, "frozen-cpu", false);
    stored.anomaly.finding.detail = String::from(r#"{"samples": 240, "stddev": 0.0}"#);
    let html = integrity_page(&[stored], Access::Admin);
    assert!(
        html.contains(
            "<code class=\"detail\">{&#34;samples&#34;: 240, &#34;stddev&#34;: 0.0}</code>"
        )
    );
}

#[test]
fn six_cards_in_order_with_zeros() {
    let counts = [count(AnomalyKind::FlatMetrics, 2, Severity::High)];
    let html = render_integrity(&[], &counts, OPEN, Access::Admin);
    let mut rest = html.as_str();
    for kind in AnomalyKind::DOCUMENTED {
        let (_, after) = rest.split_once(&format!("id=\"card-{kind}\"")).unwrap();
        let (card, after) = after.split_once("</a>").unwrap();
        assert!(card.contains(&format!("href=\"/integrity?kind={kind}\"")));
        let n_open = if kind == AnomalyKind::FlatMetrics {
            2
        } else {
            0
        };
        assert!(card.contains(&format!("<span class=\"card-count\">{n_open}</span>")));
        rest = after;
    }
    assert!(!rest.contains("id=\"card-"));
    assert_eq!(html.matches("card t-red").count(), 1);
    assert_eq!(html.matches("card t-neutral").count(), 5);
}

#[test]
fn pages_follow_one_another_by_key() {
    let rows = [row(1, "a", false)];
    let next = cursor(9);
    let page = AnomalyPage {
        rows: rows.to_vec(),
        next: Some(next),
    };
    let filter = AnomalyFilter {
        state: None,
        severity: Some(Severity::High),
        ..OPEN
    };
    let html = render_page(&page, &[], filter, Access::Admin);
    let link = format!("href=\"/integrity?state=all&#38;severity=high&#38;after={next}\"");
    assert!(html.contains(&link), "{html}");
    assert!(html.contains("<option value=\"all\" selected>"));
    assert!(html.contains("<option value=\"high\" selected>"));
}

#[test]
fn empty_states_say_what_to_do() {
    let html = render_overview(&[], &[], "Bob's shop");
    assert!(html.contains("monsys-hub agent enrol --org &#39;Bob&#39;\\&#39;&#39;s shop&#39;"));
    let open = render_integrity(&[], &[], OPEN, Access::Admin);
    assert!(open.contains("No anomaly is open."));
    let narrowed = AnomalyFilter {
        kind: Some(AnomalyKind::ClockDrift),
        ..OPEN
    };
    let html = render_integrity(&[], &[], narrowed, Access::Admin);
    assert!(html.contains("No anomaly matches this filter."));
    let mut agent = summary(1, "new", None);
    agent.recent_cpu.clear();
    let html = render_agent(&agent, &[], Access::Admin);
    assert!(html.contains("None was ever opened"));
    assert!(html.contains("No reading arrived"));
}

#[test]
fn sparklines_hold_for_any_readings() {
    let mut agents = Vec::new();
    let series: [&[f64]; 4] = [&[], &[7.5], &[4.2; 60], &[f64::NAN, 3.0, f64::INFINITY]];
    for (at, readings) in (1..).zip(series) {
        let mut agent = summary(at, &format!("agent-{at}"), None);
        agent.recent_cpu = readings.to_vec();
        agents.push(agent);
    }
    let html = render_devices(&agents, "o");
    assert_eq!(html.matches("class=\"spark\"").count(), 3);
    assert!(!html.contains("NaN") && !html.contains("inf\"") && !html.contains("inf,"));
    for agent in &agents {
        let html = render_agent(agent, &[], Access::Admin);
        assert!(!html.contains("NaN") && !html.contains("inf "));
    }
}

#[test]
fn trust_is_a_word() {
    let agents = [
        summary(1, "calm", None),
        summary(2, "bad", Some(Severity::Medium)),
        summary(3, "worse", Some(Severity::Critical)),
    ];
    let html = render_overview(&agents, &[], "o");
    for word in [
        "</svg> critical</span>",
        "</svg> medium</span>",
        "</svg> trusted</span>",
    ] {
        assert!(html.contains(word), "{word}");
    }
    let mut agent = summary(4, "other", None);
    agent.key = KeyState::Unpinned;
    let html = render_agent(&agent, &[], Access::Admin);
    assert!(html.contains("</svg> unverified</span>") && !html.contains("abab"));
    agent.key = PINNED;
    let html = render_agent(&agent, &[], Access::Admin);
    assert!(html.contains(&format!("<code>{}</code>", "ab".repeat(32))));
    agent.recent_cpu.clear();
    assert!(render_agent(&agent, &[], Access::Admin).contains("</svg> silent</span>"));
    agent.last_seen_at = None;
    assert!(render_agent(&agent, &[], Access::Admin).contains("</svg> waiting</span>"));
    agent.is_revoked = true;
    assert!(render_agent(&agent, &[], Access::Admin).contains("</svg> revoked</span>"));
}

#[test]
fn a_device_is_shown_as_verified_and_not_as_one_without_a_key() {
    let mut device = summary(1, "web-1", None);
    device.key = KeyState::Shared;
    let overview = render_devices(std::slice::from_ref(&device), "o");
    assert!(overview.contains("<span class=\"sub\">hmac</span>"));
    let page = render_agent(&device, &[], Access::Admin);
    assert!(page.contains("<dt>Profile</dt><dd><code>hmac</code></dd>"));
    for html in [overview, page] {
        assert!(html.contains("</svg> trusted</span>"));
        for word in [
            "unverified",
            "cannot be verified",
            "<strong>none</strong>",
            "Token",
        ] {
            assert!(!html.contains(&format!(">{word}")), "{word}");
        }
    }
}

#[test]
fn every_page_has_a_language_a_title_and_one_main() {
    for html in all_pages("x", Access::Admin) {
        assert!(html.starts_with("<!doctype html>"), "{html}");
        assert!(html.contains("<html lang=\"en\">"));
        assert_eq!(html.matches("<title>").count(), 1);
        assert_eq!(html.matches("<main ").count(), 1);
        assert_eq!(html.matches("<h1>").count(), 1);
        assert_is_clean(&html);
    }
}

#[test]
fn marks_exist_for_every_state() {
    let html = render_overview(&[], &[], "o");
    for word in Severity::ALL.map(Severity::as_str).into_iter().chain([
        "trusted",
        "unverified",
        "silent",
        "waiting",
        "revoked",
        "logo",
    ]) {
        assert!(html.contains(&format!("<symbol id=\"m-{word}\"")), "{word}");
    }
}

/// Nothing that the content security policy of contract §4 would block, in any tag.
pub(super) fn assert_is_clean(html: &str) {
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece
            .split_once('>')
            .expect("escaped text has no bare angle bracket");
        let name = tag.split_whitespace().next().unwrap_or_default();
        assert_ne!(name, "style");
        assert!(name != "script" || tag.contains(" src=\"/assets/"), "{tag}");
        for attribute in attributes(tag) {
            assert!(attribute != "style", "{tag}");
            assert!(!attribute.starts_with("on"), "{tag}");
        }
    }
}

/// The names of the attributes of a tag: what stands outside double quotes, before the signs.
fn attributes(tag: &str) -> impl Iterator<Item = &str> {
    tag.split('"')
        .step_by(2)
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('='))
}

fn all_pages(text: &str, access: Access) -> Vec<String> {
    let rows = [row(1, text, false), row(2, text, true)];
    let agent = summary(1, text, Some(Severity::Critical));
    let counts = [count(AnomalyKind::SignatureInvalid, 1, Severity::Critical)];
    let mut silent = summary(2, text, None);
    silent.version = Some(text.to_owned());
    silent.recent_cpu.clear();
    let mut pages = vec![
        render_overview(&[agent.clone(), silent.clone()], &counts, text),
        render_overview(&[], &[], text),
        render_fleet(std::slice::from_ref(&agent), text),
        render_devices(&[agent.clone(), silent.clone()], text),
        render_events(&rows, text),
        render_integrity(&rows, &counts, AnomalyFilter::default(), access),
        render_insights(&standing(), text),
        render_insights(&Standing::default(), text),
        render_agent(&agent, &rows, access),
        message(&Message {
            title: text,
            sentence: text,
        })
        .unwrap(),
    ];
    for problem in [None, Some(text)] {
        let view = Setup {
            organisation: text,
            email: text,
            problem,
        };
        pages.push(setup(&view).unwrap());
    }
    let notices = [
        LoginNotice::LinkSpent,
        LoginNotice::SessionOver,
        LoginNotice::LoggedOut,
        LoginNotice::FormExpired,
        LoginNotice::Wrong,
        LoginNotice::TooOften,
        LoginNotice::Busy,
    ];
    for notice in notices.map(Some).into_iter().chain([None]) {
        let view = Login {
            notice,
            csrf: text,
            organisation: text,
            username: text,
            next: text,
        };
        pages.push(login(&view).unwrap());
    }
    for problem in [None, Some(text)] {
        pages.push(set_password(&SetPassword { problem }).unwrap());
    }
    for notice in [None, Some(AccountNotice::NotCurrent)] {
        let view = Account {
            email: text,
            organisation: text,
            role: text,
            csrf: text,
            has_password: notice.is_some(),
            notice,
        };
        pages.push(account(&view).unwrap());
    }
    pages
}

fn render_overview(agents: &[AgentSummary], counts: &[KindCount], organisation: &str) -> String {
    let worst = scored(agents);
    let (fleet, spread) = summed(&worst);
    let view = Overview {
        viewer: viewer(organisation, Access::Admin),
        census: Census {
            n_fresh: u64::try_from(agents.len()).unwrap(),
            ..Census::default()
        },
        fleet: &fleet,
        spread,
        worst: &worst,
        counts,
        events: &[],
        cycle: None,
        is_cut: true,
        now: now(),
    };
    overview(&view).unwrap()
}

fn render_insights(standing: &Standing, name: &str) -> String {
    let (catalog, controls) = (Catalog::standard(), Controls::nist_csf_2());
    let views = standing.views();
    let pareto = pareto::pareto(&views, &catalog, &controls, &mut Scratch::new(), now());
    let mut correlator = Correlator::new(TenantId::from_random_bytes([1; 16]));
    correlator.add(&views);
    let agent = AgentId::from_random_bytes([1; 16]).to_string();
    let view = Insights {
        viewer: viewer(name, Access::ReadOnly),
        incidents: &correlator.incidents(),
        since: ago(86_400),
        pareto: &pareto,
        names: &[(agent, name.to_owned())].into(),
        is_cut: true,
        now: now(),
    };
    insights(&view).unwrap()
}

#[test]
fn insights_show_what_hangs_together_and_what_to_repair_first() {
    let html = render_insights(&standing(), "web-1");
    assert!(
        html.contains("<span class=\"big\" id=\"incidents\">1</span>"),
        "{html}"
    );
    let agent = AgentId::from_random_bytes([1; 16]);
    assert!(html.contains(&format!("<a href=\"/agents/{agent}\">web-1</a>")));
    let cells = |class: &str| -> Vec<String> {
        let start = format!("<td role=\"cell\" class=\"num {class}\"");
        let rows = html.split(&start).skip(1);
        let cells = rows.map(|rest| rest.split(['>', '<']).nth(1).unwrap().to_owned());
        cells.collect()
    };
    assert_eq!(cells("gain"), ["12.000", "5.000"]);
    assert_eq!(cells("reaches"), ["70.5 %", "100.0 %"]);
    assert!(html.contains("is not complete"));
    let html = render_insights(&Standing::default(), "web-1");
    assert!(html.contains("No findings hang together"));
    assert!(html.contains("No live finding stands under a control"));
}

fn integrity_page(rows: &[AnomalyRow], access: Access) -> String {
    render_integrity(rows, &[], OPEN, access)
}

fn render_integrity(
    rows: &[AnomalyRow],
    counts: &[KindCount],
    filter: AnomalyFilter,
    access: Access,
) -> String {
    let page = AnomalyPage {
        rows: rows.to_vec(),
        next: None,
    };
    render_page(&page, counts, filter, access)
}

fn render_page(
    page: &AnomalyPage,
    counts: &[KindCount],
    filter: AnomalyFilter,
    access: Access,
) -> String {
    let view = Integrity {
        viewer: viewer("o", access),
        counts,
        filter,
        page,
        actors: &actors("ada@acme.example"),
        cycle: None,
        progress: None,
        asked: "",
        is_ticked: false,
        now: now(),
    };
    integrity(&view).unwrap()
}

/// One person, and the hub itself.
pub(super) fn actors(email: &str) -> BTreeMap<UserId, Actor> {
    let user = |byte| UserId::from_random_bytes([byte; 16]);
    BTreeMap::from([
        (user(2), Actor::Person(email.to_owned())),
        (user(3), Actor::Worker),
    ])
}

fn render_agent(summary: &AgentSummary, rows: &[AnomalyRow], access: Access) -> String {
    let page = AnomalyPage {
        rows: rows.to_vec(),
        next: Some(cursor(8)),
    };
    let (standing, catalog) = (standing(), Catalog::standard());
    let (views, mut scratch) = (standing.views(), Scratch::new());
    let explained = trust::explain(&views, &catalog, &mut scratch, now());
    let view = AgentView {
        viewer: viewer("o", access),
        agent: summary,
        standing: &standing,
        explained: &explained,
        readings: &readings(&summary.recent_cpu, summary.name.as_str()),
        snapshot: Some(&snapshot(summary.name.as_str())),
        find: "",
        page: &page,
        actors: &actors("ada@acme.example"),
        after: None,
        is_ticked: false,
        now: now(),
    };
    agent(&view).unwrap()
}

/// A high finding, a medium one, one of a source that counts nowhere, and one that takes nothing.
pub(super) fn standing() -> Standing {
    let signal = |source: &str, key: &str, severity| signal_about("agent", source, key, severity);
    Standing {
        signals: vec![
            signal("backup_check", "backup.age_hours", Some("medium")),
            signal("clock_check", "clock.synchronised", None),
            signal("integrity_check", "integrity.flat_metrics", Some("high")),
            signal("my_check", "my.finding", Some("critical")),
        ],
        is_cut: false,
        n_pages: 1,
    }
}

#[test]
fn a_score_is_shown_with_every_point_of_it() {
    let agent = summary(1, "web-1", None);
    let html = render_agent(&agent, &[], Access::ReadOnly);
    assert!(
        html.contains("<span class=\"big\" id=\"score\">83.000</span>"),
        "{html}"
    );
    assert!(html.contains("3 of 7 categories covered"));
    let taken: Vec<_> = html
        .split("num takes\" data-label=\"Takes\">")
        .skip(1)
        .collect();
    let taken: Vec<_> = taken
        .iter()
        .map(|rest| rest.split_once('<').unwrap().0)
        .collect();
    assert_eq!(taken, ["12.000", "5.000"], "the largest first");
    assert!(
        html.contains("in no category: <code>my_check</code>."),
        "{html}"
    );
    let html = render_fleet(&[agent, summary(2, "web-2", None)], "o");
    assert!(
        html.contains("id=\"score\">91.500</span>"),
        "the mean of 83 and 100: {html}"
    );
    assert!(html.contains("lowest 83.000"));
    assert!(html.contains("nothing is known about 1"));
}

pub(super) fn viewer(text: &str, access: Access) -> Viewer<'_> {
    Viewer {
        email: text,
        organisation: text,
        csrf: "token",
        ledger_seq: 7,
        access,
        is_demo: true,
        clock_rate: 1,
    }
}

fn summary(byte: u8, name: &str, worst: Option<Severity>) -> AgentSummary {
    AgentSummary {
        agent: AgentId::from_random_bytes([byte; 16]),
        name: DisplayName::parse(name).unwrap(),
        key: PINNED,
        is_revoked: false,
        enrolled_at: ago(600),
        last_seen_at: Some(ago(12)),
        version: Some(String::from("0.1.0")),
        worst_open: worst,
        n_open: u32::from(worst.is_some()),
        recent_cpu: vec![3.0, 5.5, 4.2],
    }
}

/// A signal about what has the identifier of the first agent, whatever kind of thing it is.
fn signal_about(subject_type: &str, source: &str, key: &str, severity: Option<&str>) -> Signal {
    let draft = SignalDraft {
        source: source.to_owned(),
        subject_type: subject_type.to_owned(),
        subject_id: AgentId::from_random_bytes([1; 16]).to_string(),
        key: key.to_owned(),
        value: r#"{"value":true}"#.to_owned(),
        severity: severity.map(str::to_owned),
        observed_at: ago(60),
        ttl_seconds: None,
    };
    Signal::validate(&draft, now()).unwrap()
}

pub(super) fn row(byte: u8, text: &str, is_closed: bool) -> AnomalyRow {
    AnomalyRow {
        anomaly: Anomaly {
            id: AnomalyId::from_random_bytes([byte; 16]),
            tenant: TenantId::from_random_bytes([1; 16]),
            agent: AgentId::from_random_bytes([byte; 16]),
            finding: Finding {
                kind: AnomalyKind::FlatMetrics,
                severity: Severity::High,
                summary: text.to_owned(),
                detail: text.to_owned(),
                evidence: text.to_owned(),
            },
            detected_at: ago(300),
            last_seen_at: ago(30),
            occurrences: 3,
            last_detail: None,
            previous: None,
            acknowledged: None,
            snoozed: None,
            closed: is_closed.then(|| Closed {
                at: ago(60),
                by: UserId::from_random_bytes([2; 16]),
                resolution: Resolution::Manual,
                note: Some(text.to_owned()),
            }),
        },
        agent_name: text.to_owned(),
        n_changes: 1,
        closed_by: is_closed.then(|| text.to_owned()),
    }
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    now().saturating_sub(Span::from_secs(seconds))
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
}

#[test]
fn an_overview_that_was_cut_says_that_scores_miss_findings() {
    let html = render_overview(&[summary(1, "web-1", None)], &[], "o");
    assert!(html.contains("There are more signals than one page reads"));
}

#[test]
fn what_is_no_agent_never_has_the_name_of_one() {
    let agent = AgentId::from_random_bytes([1; 16]);
    let signal = |key: &str| signal_about("endpoint", "my_check", key, Some("high"));
    let standing = Standing {
        signals: vec![signal("my.one"), signal("my.two")],
        is_cut: false,
        n_pages: 1,
    };
    let html = render_insights(&standing, "web-1");
    assert!(html.contains(&agent.to_string()), "{html}");
    assert!(!html.contains(&format!("/agents/{agent}")));
}

/// The key of every agent here.
const PINNED: KeyState = KeyState::Pinned(PublicKey([0xab; 32]));
