//! What must hold of the pages of anomalies: the desk, labels, cycles, and one anomaly alone.

use monsys_core::anomaly::{Acknowledged, AnomalyKind, Resolution, Snoozed};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::{EventDraft, LedgerEntry, LedgerHead};
use monsys_core::severity::Severity;
use monsys_core::store::{
    AnomalyFilter, AnomalyPage, AnomalyRow, Attention, CycleFault, CycleRecord, KindCount,
};
use monsys_core::time::Span;

use super::row::Actors;
use super::tests::{actors, ago, assert_is_clean, now, row, viewer};
use super::*;
use crate::worker::Progress;

const HOSTILE: &str = "\"><img src=x onerror=alert(1)>";

#[test]
fn labels_are_words_and_say_who_holds_what_until_when() {
    let mut rows: Vec<_> = (1..=5).map(|byte| row(byte, "x", false)).collect();
    let by = UserId::from_random_bytes([2; 16]);
    let until = now().saturating_add(Span::from_secs(3_600));
    let reason = || String::from("night shift");
    rows[0].anomaly.acknowledged = Some(Acknowledged {
        at: ago(9),
        by,
        reason: reason(),
        until: None,
    });
    rows[1].anomaly.snoozed = Some(Snoozed {
        at: ago(9),
        by,
        reason: reason(),
        until,
    });
    rows[2].n_changes = 4;
    rows[3].anomaly.previous = Some(AnomalyId::from_random_bytes([9; 16]));
    let html = list(&rows, OPEN, Access::ReadOnly);
    for word in ["acknowledged", "snoozed", "flapping", "regressed", "open"] {
        assert_eq!(
            html.matches(&format!("l-{word}\">{word}</span>")).count(),
            1,
            "{word}"
        );
    }
    assert!(html.contains("by ada@acme.example: night shift"));
    assert!(html.contains("by ada@acme.example until 2026-11-21 02:15:41: night shift"));
    let before = AnomalyId::from_random_bytes([9; 16]);
    assert!(html.contains(&format!("href=\"/integrity/{before}\"")));
}

#[test]
fn only_an_admin_sees_the_resolve_form() {
    let rows = [row(1, "frozen-cpu", false), row(2, "wrong-key", true)];
    let id = rows[0].anomaly.id;
    let admin = list(&rows, OPEN, Access::Admin);
    let form = format!("<form method=\"post\" action=\"/integrity/{id}/resolve\"");
    assert!(admin.contains(&form));
    assert_eq!(
        admin.matches("/resolve\"").count(),
        1,
        "resolved rows have no form"
    );
    // Its own, and those of logging out, of a cycle now, and of all that is ticked.
    assert_eq!(admin.matches("name=\"csrf\" value=\"token\"").count(), 4);
    assert_eq!(admin.matches("type=\"checkbox\"").count(), 1);
    let reader = list(&rows, OPEN, Access::ReadOnly);
    for form in ["/resolve", "/integrity/run", "/integrity/act", "checkbox"] {
        assert!(!reader.contains(form), "{form}");
    }
    let pages = [admin, reader];
    assert!(pages.iter().all(|html| html.contains("action=\"/logout\"")));
}

#[test]
fn resolved_rows_say_who_when_and_how() {
    let html = list(&[row(1, "frozen-cpu", true)], OPEN, Access::Admin);
    for words in ["by ada@acme.example (manual)", "2026-11-21 01:14:41"] {
        assert!(html.contains(words), "{words}");
    }
    let mut by_itself = row(1, "frozen-cpu", true);
    let closed = by_itself.anomaly.closed.as_mut().unwrap();
    (closed.by, closed.resolution) = (UserId::from_random_bytes([3; 16]), Resolution::Auto);
    let html = list(&[by_itself], OPEN, Access::Admin);
    assert!(html.contains("by the integrity worker (auto)"));
}

#[test]
fn forms_go_back_to_where_they_stand() {
    let rows = [row(1, "x", false)];
    let id = rows[0].anomaly.id;
    let kind = AnomalyFilter {
        kind: Some(AnomalyKind::FlatMetrics),
        attention: Some(Attention::Needed),
        ..OPEN
    };
    let html = list(&rows, kind, Access::Admin);
    let query = "?kind=flat_metrics&#38;attention=needed";
    assert!(html.contains(&format!("action=\"/integrity/act{query}\"")));
    assert!(html.contains(&format!("action=\"/integrity/{id}/resolve{query}\"")));
    assert!(html.contains(&format!("href=\"/integrity{query}&#38;tick=all\"")));
    assert!(html.contains("<option value=\"needed\" selected>"));
    assert!(!html.contains(" checked"));
    let html = list(&rows, OPEN, Access::Admin);
    assert!(html.contains(&format!("action=\"/integrity/{id}/resolve\"")));
    assert!(html.contains("href=\"/integrity?tick=all\""));
    let export = "/api/v1/integrity/anomalies?state=open&#38;format=csv";
    assert!(html.contains(export), "{html}");
}

#[test]
fn all_kinds_that_are_open_are_shown_and_counted() {
    let counts = [
        count(AnomalyKind::FlatMetrics, 2, Severity::High),
        count(AnomalyKind::DetectorStalled, 1, Severity::Medium),
    ];
    let html = render(&[row(1, "x", false)], &counts, None, OPEN, Access::ReadOnly);
    assert!(html.contains("<title>(3) Integrity"));
    assert!(
        html.contains("id=\"card-detector_stalled\" href=\"/integrity?kind=detector_stalled\"")
    );
    assert!(html.contains("1 of 3</span>"), "{html}");
    assert!(html.contains("<option value=\"agent_cloned\">"));
}

#[test]
fn what_went_wrong_in_the_last_cycle_is_shown() {
    let well = CycleRecord {
        at: ago(30),
        took_ms: 12,
        n_agents: 500,
        n_opened: 2,
        n_resolved: 1,
        n_missed: 0,
        n_failed_pages: 0,
        faults: Vec::new(),
    };
    let shown = |cycle: &CycleRecord| render(&[], &[], Some(cycle), OPEN, Access::ReadOnly);
    let html = shown(&well);
    assert!(
        html.contains("500 agents in 12\u{a0}ms, 2 opened, 1 resolved."),
        "{html}"
    );
    assert!(!html.contains("class=\"problem\""));
    let agent = AgentId::from_random_bytes([7; 16]);
    let fault = |kind, message: &str| CycleFault {
        agent,
        kind,
        message: message.to_owned(),
    };
    let ill = CycleRecord {
        at: ago(1_200),
        n_missed: 3,
        n_failed_pages: 1,
        faults: vec![
            fault(Some(AnomalyKind::FlatMetrics), "index out of bounds"),
            fault(None, HOSTILE),
        ],
        ..well
    };
    let html = shown(&ill);
    for words in [
        "The next cycle is overdue",
        "3 cycles before it did not run",
        "1 page of agents could not be read",
        "<code>flat_metrics</code> failed on agent",
        "<code>every check</code> failed on agent",
        "index out of bounds",
        &format!("/agents/{agent}"),
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains(HOSTILE));
    assert_is_clean(&html);
    assert!(list(&[], OPEN, Access::ReadOnly).contains("No cycle has run yet"));
}

#[test]
fn what_the_hub_says_of_itself_leads_to_a_page_that_is_there() {
    let mut own = row(1, "monsys-hub", false);
    own.anomaly.agent = AgentId::of_hub(own.anomaly.tenant);
    let hub = own.anomaly.agent;
    for html in [
        list(std::slice::from_ref(&own), OPEN, Access::Admin),
        alone(&own, &[], Access::Admin),
    ] {
        let link = format!("href=\"/integrity?state=all&#38;agent_id={hub}\">monsys-hub</a>");
        assert!(html.contains(&link), "{html}");
        assert!(!html.contains(&format!("/agents/{hub}")));
    }
}

#[test]
fn what_came_of_asking_for_a_cycle_is_told_in_known_words_only() {
    let (page, actors) = (AnomalyPage::cut(vec![], 1), actors("ada@acme.example"));
    let html = |asked| {
        let view = Integrity {
            asked,
            ..empty(&page, &actors, Access::Admin)
        };
        integrity(&view).unwrap()
    };
    let told = "<p class=\"notice\" role=\"status\">";
    assert!(html("elsewhere").contains(&format!("{told}Another hub is running")));
    for asked in ["started", "running", "too-soon"] {
        assert!(html(asked).contains(told), "{asked}");
    }
    assert!(!html(HOSTILE).contains(told));
}

#[test]
fn long_text_is_cut_in_the_table_and_whole_on_its_own_page() {
    let long = "e".repeat(5_000);
    let row = row(1, &long, false);
    let html = list(std::slice::from_ref(&row), OPEN, Access::Admin);
    let name_is_everywhere = 6;
    assert!(html.matches(&long).count() < name_is_everywhere);
    assert!(html.contains(&format!("{}\u{2026}", "e".repeat(200))));
    assert!(alone(&row, &[], Access::Admin).contains(&format!("<pre><code>{long}</code></pre>")));
}

#[test]
fn an_anomaly_alone_shows_its_evidence_and_its_ledger() {
    let mut row = row(1, "frozen", false);
    row.anomaly.finding.evidence = r#"{"distinct":1,"shape":"constant"}"#.to_owned();
    row.anomaly.last_detail = Some(r#"{"detail":{"samples":30}}"#.to_owned());
    let service = UserId::from_random_bytes([3; 16]);
    let opened = EventDraft::opened(&row.anomaly, service);
    let first = LedgerEntry::after(LedgerHead::EMPTY, TenantId::from_bytes([1; 16]), opened);
    let seen = EventDraft::seen(row.anomaly.id, 2, UserId::from_random_bytes([9; 16]), now());
    let second = LedgerEntry::after(first.head(), first.tenant, seen);
    let html = alone(&row, &[first.clone(), second], Access::Admin);
    for words in [
        "<div><dt>distinct</dt><dd><code>1</code></dd></div>",
        "<div><dt>shape</dt><dd><code>constant</code></dd></div>",
        "the integrity worker",
        "somebody who is no longer known",
        "<span class=\"soft\">occurrences</span> 2",
        &first.hash.to_string()[..12],
        "{&#34;detail&#34;:{&#34;samples&#34;:30}}",
        "/acknowledge?from=anomaly\"",
        "/snooze?from=anomaly\"",
        "/resolve?from=anomaly\"",
    ] {
        assert!(html.contains(words), "{words}: {html}");
    }
    assert!(
        !html.contains(&first.hash.to_string()),
        "the whole hash is in the API"
    );
    for html in [
        alone(&row, &[], Access::ReadOnly),
        alone(&tests::row(1, "frozen", true), &[], Access::Admin),
    ] {
        assert!(!html.contains("/acknowledge") && !html.contains("/resolve?"));
    }
}

#[test]
fn hostile_text_stays_inert_on_the_page_of_an_anomaly() {
    let mut row = row(1, HOSTILE, true);
    row.anomaly.finding.evidence = format!("{{\"a\":{HOSTILE:?}}}");
    row.anomaly.last_detail = Some(HOSTILE.to_owned());
    let reason = HOSTILE.to_owned();
    let by = UserId::from_random_bytes([2; 16]);
    row.anomaly.acknowledged = Some(Acknowledged {
        at: ago(9),
        by,
        reason,
        until: None,
    });
    let event =
        EventDraft::acknowledged(row.anomaly.id, row.anomaly.acknowledged.as_ref().unwrap());
    let entry = LedgerEntry::after(LedgerHead::EMPTY, TenantId::from_bytes([1; 16]), event);
    let html = alone(&row, &[entry], Access::Admin);
    assert!(!html.contains(HOSTILE));
    assert!(html.matches("onerror").count() >= 8, "it is shown");
    assert_is_clean(&html);
}

fn list(rows: &[AnomalyRow], filter: AnomalyFilter, access: Access) -> String {
    render(rows, &[], None, filter, access)
}

fn render(
    rows: &[AnomalyRow],
    counts: &[KindCount],
    cycle: Option<&CycleRecord>,
    filter: AnomalyFilter,
    access: Access,
) -> String {
    let page = AnomalyPage {
        rows: rows.to_vec(),
        next: None,
    };
    integrity(&Integrity {
        counts,
        filter,
        cycle,
        ..empty(&page, &actors("ada@acme.example"), access)
    })
    .unwrap()
}

fn empty<'a>(page: &'a AnomalyPage, actors: &'a Actors, access: Access) -> Integrity<'a> {
    Integrity {
        viewer: viewer("o", access),
        counts: &[],
        filter: AnomalyFilter::default(),
        page,
        actors,
        cycle: None,
        progress: None,
        asked: "",
        is_ticked: false,
        now: now(),
    }
}

#[test]
fn a_cycle_under_way_says_how_far_it_is() {
    let (page, actors) = (AnomalyPage::cut(vec![], 1), actors("ada@acme.example"));
    let mut view = empty(&page, &actors, Access::ReadOnly);
    assert!(!integrity(&view).unwrap().contains("A cycle runs"));
    view.progress = Some(Progress {
        since: now(),
        n_judged: 3_000,
        n_agents: 10_000,
    });
    let html = integrity(&view).unwrap();
    assert!(html.contains("A cycle runs: 3000 of 10000 agents judged."));
}

fn alone(row: &AnomalyRow, events: &[LedgerEntry], access: Access) -> String {
    let view = AnomalyView {
        viewer: viewer("o", access),
        row,
        events,
        has_more: false,
        after: 0,
        actors: &actors("ada@acme.example"),
        now: now(),
    };
    anomaly(&view).unwrap()
}

fn count(kind: AnomalyKind, n_open: u64, worst: Severity) -> KindCount {
    KindCount {
        kind,
        n_open,
        worst: Some(worst),
    }
}
