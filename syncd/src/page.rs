//! The status page: a [`Snapshot`] as HTML, for people.
//!
//! Read-only, complete without JavaScript (which only keeps it fresh and filters as one types), the same on a phone. Knows no HTTP. Invariants:
//! every text goes through the template's escaping and through [`printable`]; nothing is inline and nothing is loaded from elsewhere, so
//! that the strictest content security policy holds ([`POLICY`]); how a service stands is told in words, never by colour alone.

use jiff::Timestamp;
use manifest::ObjectRef;
use maud::{DOCTYPE, Markup, Render, html};

use crate::report::{Cause, CycleError, ObjectReport, Outcome, Suspension, Waiting, printable};
use crate::view::{DriftSeen, Filter, Overview, Past, Row, Service, Services, Snapshot, Standing};

/// The style sheet.
pub const STYLE: &str = include_str!("page/page.css");
/// The script.
pub const SCRIPT: &str = include_str!("page/page.js");
/// The icon.
pub const ICON: &str = include_str!("page/icon.svg");
/// What a browser may load and run: what is served here, and nothing else.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Text from outside.
struct Shown<'a>(&'a str);

impl Render for Shown<'_> {
    fn render_to(&self, out: &mut String) {
        printable(self.0).as_str().render_to(out);
    }
}

struct Object<'a>(&'a ObjectRef);

impl Render for Object<'_> {
    fn render_to(&self, out: &mut String) {
        Shown(&self.0.to_string()).render_to(out);
    }
}

/// The parts of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Services,
    History,
    Drift,
}

impl Part {
    const ALL: [(Part, &'static str, &'static str); 3] =
        [(Part::Services, "/", "Services"), (Part::History, "/history", "History"), (Part::Drift, "/drift", "Drift")];
}

/// Returns the first page: the environment and its services. `absent` says why there is no report, where there is none.
pub fn overview(snapshot: &Snapshot, filter: &Filter, absent: &str) -> String {
    let body = html! {
        (environment(snapshot, absent))
        @if !snapshot.rows.is_empty() { (services(snapshot, filter)) }
    };
    document(snapshot, Part::Services, "", &body)
}

/// Returns the page of one service; nothing where there is none of this name.
pub fn service(snapshot: &Snapshot, name: &str) -> Option<String> {
    let service = snapshot.service(name)?;
    Some(document(snapshot, Part::Services, name, &of_service(&service)))
}

/// Returns the page of what happened.
pub fn history(snapshot: &Snapshot) -> String {
    let body = html! {
        section aria-labelledby="history" {
            h2 #history { "History" }
            p.note { "Cycles of this process that did something, or ended otherwise than the one before; the last one first." }
            @if snapshot.history.is_empty() { p { "Nothing yet." } }
            ol.entries { @for past in &snapshot.history { (of_past(past)) } }
        }
    };
    document(snapshot, Part::History, "History", &body)
}

/// Returns the page of what others changed.
pub fn drift(snapshot: &Snapshot) -> String {
    let fights = snapshot.report.as_ref().map_or(&[][..], |report| &report.fights);
    let body = html! {
        @if !fights.is_empty() {
            section aria-labelledby="fights" {
                h2 #fights { "Who keeps changing what is applied" }
                (of_fights(fights))
            }
        }
        section aria-labelledby="drift" {
            h2 #drift { "Drift" }
            p.note { "What others changed while this process watched; the last one first." }
            @if snapshot.drift.is_empty() { p { "Nothing yet." } }
            ol.entries { @for seen in &snapshot.drift { (of_drift(seen)) } }
        }
    };
    document(snapshot, Part::Drift, "Drift", &body)
}

/// Returns the page for an address behind which there is nothing.
pub fn nothing(snapshot: &Snapshot, what: &str) -> String {
    let body = html! {
        section { h2 { "Nothing here" } p { (Shown(what)) } p { a href="/" { "All services" } } }
    };
    document(snapshot, Part::Services, "Nothing here", &body)
}

fn document(snapshot: &Snapshot, part: Part, title: &str, body: &Markup) -> String {
    let environment = snapshot.report.as_ref().map_or("syncd", |report| report.environment.as_str());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title {
                    @if !title.is_empty() { (Shown(title)) " · " }
                    (Shown(environment)) " · syncd"
                }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    h1 { a href="/" { (Shown(environment)) } }
                    nav aria-label="Pages" {
                        ul {
                            @for (other, address, name) in Part::ALL {
                                li { a href=(address) aria-current=[(other == part).then_some("page")] { (name) } }
                            }
                        }
                    }
                    p #live .live role="status" {}
                }
                main #main tabindex="-1" { (body) }
                footer { p { "syncd " (env!("CARGO_PKG_VERSION")) " · read-only · " a href="/api/v1/schema" { "API" } " · " a href="/metrics" { "metrics" } } }
            }
        }
    }
    .into_string()
}

fn time(at: &str) -> Markup {
    let shown =
        at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    html! { time datetime=(at) { (shown) } }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

fn badge(word: &str) -> Markup {
    html! { span class={ "badge " (word) } { (word.replace('_', " ")) } }
}

fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

fn environment(snapshot: &Snapshot, absent: &str) -> Markup {
    html! {
        section #environment .card data-live aria-labelledby="environment-title" {
            h2 #environment-title .hidden { "Environment" }
            @if let Some(overview) = snapshot.overview() { (of_overview(&overview)) } @else { p { (Shown(absent)) } }
        }
    }
}

fn of_overview(overview: &Overview<'_>) -> Markup {
    html! {
        p.headline {
            (badge(overview.result.as_str()))
            @if let Some(revision) = overview.revision {
                " " code title=(revision) { (short(revision)) }
                @if let Some(subject) = overview.subject { " " strong { (Shown(subject)) } }
            } @else { " no revision was read yet" }
        }
        p.note {
            @if let Some(author) = overview.author { "by " (Shown(author)) }
            @if let Some(at) = &overview.committed_at { ", committed " (time(at)) }
            " · last cycle " (time(overview.ended_at)) ", " (seconds(overview.seconds))
        }
        @for error in overview.errors { (of_error(error)) }
        @if let Some(held) = &overview.held {
            div.alert.warn {
                p { strong { (held.deletions) " deletions are held" } ": " (held.limit) " are let through unasked. To let exactly these through:" }
                p { code.command tabindex="0" { (held.command) } }
                p { a href="/?state=held" { "Held services" } }
            }
        }
        @if !overview.suspended.is_empty() {
            div.alert.warn {
                p { strong { "Suspended: nothing of it is written" } }
                (of_suspended(overview.suspended))
            }
        }
        @if !overview.fights.is_empty() {
            div.alert.warn { p { strong { "Somebody keeps changing what is applied" } } (of_fights(overview.fights)) }
        }
        @if overview.orphans_total > 0 {
            details.alert.info {
                summary { (overview.orphans_total) " objects carry our label and are in no record; they are left alone" }
                ul { @for object in overview.orphans { li { (Object(object)) } } }
                @if overview.orphans_total > overview.orphans.len() { p { "and " (overview.orphans_total - overview.orphans.len()) " more" } }
            }
        }
    }
}

fn of_error(error: &CycleError) -> Markup {
    html! { div.alert.bad { p { strong { (error.stage.as_str()) } ": " (Shown(&error.message)) } } }
}

fn of_suspended(suspended: &[Suspension]) -> Markup {
    html! {
        ul {
            @for suspension in suspended {
                li {
                    strong { (Shown(&suspension.scope.to_string())) } " since " (time(&suspension.since))
                    @if let Some(until) = &suspension.until { " until " (time(until)) }
                    ": " (Shown(&suspension.reason))
                }
            }
        }
    }
}

fn of_fights(fights: &[crate::report::Fight]) -> Markup {
    html! {
        ul {
            @for fight in fights {
                li {
                    (Object(&fight.object)) ": " strong { (Shown(fight.manager.as_deref().unwrap_or("somebody"))) }
                    " keeps changing "
                    @if fight.fields.is_empty() { "it" } @else { (Shown(&fight.fields.join(", "))) }
                    "; corrected every " (fight.pause_seconds) " s"
                }
            }
        }
    }
}

/// Returns the address of a list.
fn address(filter: &Filter, page: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if !filter.text.is_empty() {
        query.append_pair("q", &filter.text);
    }
    if let Some(state) = filter.state {
        query.append_pair("state", state.as_str());
    }
    if page > 1 {
        query.append_pair("page", &page.to_string());
    }
    let query = query.finish();
    if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
}

fn services(snapshot: &Snapshot, filter: &Filter) -> Markup {
    let list = snapshot.services(filter);
    let of_state = |state| Filter { text: filter.text.clone(), state, page: 1 };
    html! {
        section #services aria-labelledby="services-title" {
            h2 #services-title .hidden { "Services" }
            form #filter method="get" action="/" role="search" {
                label for="q" .hidden { "Find services by name, version or message" }
                input #q name="q" type="search" value=(Shown(&filter.text)) placeholder="Find services" autocomplete="off" spellcheck="false" maxlength="200";
                @if let Some(state) = filter.state { input type="hidden" name="state" value=(state.as_str()); }
                button type="submit" { "Find" }
            }
            div #list data-live {
                ul.chips aria-label="By state" {
                    li { a href=(address(&of_state(None), 1)) aria-current=[filter.state.is_none().then_some("true")] { "all " span.count { (snapshot.rows.len()) } } }
                    @for state in Standing::ALL {
                        @if let Some(count) = snapshot.counts.get(state.as_str()) {
                            li { a class=(state.as_str()) href=(address(&of_state(Some(state)), 1)) aria-current=[(filter.state == Some(state)).then_some("true")] { (state.as_str().replace('_', " ")) " " span.count { (count) } } }
                        }
                    }
                }
                p #found .note role="status" { (found(&list)) }
                ul.services { @for row in &list.services { (of_row(row)) } }
                @if list.pages > 1 {
                    nav.pages aria-label="Pages of services" {
                        @if list.page > 1 { a rel="prev" href=(address(filter, list.page - 1)) { "Previous" } }
                        span { "page " (list.page) " of " (list.pages) }
                        @if list.page < list.pages { a rel="next" href=(address(filter, list.page + 1)) { "Next" } }
                    }
                }
            }
        }
    }
}

fn found(list: &Services<'_>) -> String {
    if list.matching == list.total {
        format!("{} services", list.total)
    } else {
        format!("{} of {} services", list.matching, list.total)
    }
}

fn service_address(name: &str) -> String {
    let mut path = String::from("/services/");
    path.extend(form_urlencoded::byte_serialize(name.as_bytes()));
    path.replace('+', "%20")
}

fn of_row(row: &Row) -> Markup {
    html! {
        li {
            a.name href=(service_address(&row.name)) { (Shown(&row.name)) }
            (badge(row.state.as_str()))
            span.version { @if let Some(version) = &row.version { span.hidden { "version " } (Shown(version)) } }
            span.message {
                @if let Some(message) = &row.message { (Shown(message)) }
                @else if let Some(at) = &row.changed_at { "changed " (time(at)) }
            }
        }
    }
}

fn of_service(service: &Service<'_>) -> Markup {
    let row = service.row;
    html! {
        article data-live #service aria-labelledby="service-title" {
            h2 #service-title { (Shown(&row.name)) }
            p.headline {
                (badge(row.state.as_str()))
                @if let Some(version) = &row.version { " version " code { (Shown(version)) } }
                @if row.failures > 0 { " · " (row.failures) " failures in a row" }
            }
            @if let Some(message) = &row.message { div.alert.(if row.state == Standing::Waiting || row.state == Standing::Applying { "info" } else { "bad" }) { p { (Shown(message)) } } }
            @if !service.waiting_for.is_empty() {
                section aria-labelledby="waiting" {
                    h3 #waiting { "Waiting for" }
                    ul { @for Waiting { object, message } in service.waiting_for { li { strong { (Object(object)) } ": " (Shown(message)) } } }
                }
            }
            @if !service.causes.is_empty() {
                section aria-labelledby="causes" {
                    h3 #causes { "Why" }
                    @for cause in service.causes { (of_cause(cause)) }
                }
            }
            section aria-labelledby="objects" {
                h3 #objects { "Objects in the last cycle that looked at it" }
                @if service.objects.is_empty() { p { "None had to be touched; " (service.unchanged) " are as they should be." } }
                @else { (of_objects(service.objects)) }
            }
            @if let Some(change) = service.last_change {
                section aria-labelledby="change" {
                    h3 #change { "Last change" }
                    p { (time(&change.at)) @if let Some(revision) = &change.revision { " · " code title=(revision) { (short(revision)) } } @if let Some(subject) = &change.subject { " " (Shown(subject)) } }
                    (of_objects(&change.objects))
                    @if change.total > change.objects.len() { p.note { "and " (change.total - change.objects.len()) " more" } }
                }
            }
        }
    }
}

fn of_objects(objects: &[ObjectReport]) -> Markup {
    html! {
        ul.objects {
            @for object in objects {
                li {
                    span class={ "outcome " (object.outcome.as_str()) } { (object.outcome.as_str()) } " "
                    (Object(&object.object))
                    @if !object.reason.is_empty() && object.outcome != Outcome::Unchanged { span.note { " (" (Shown(&object.reason)) ")" } }
                    @if let Some(error) = &object.error { span.error { ": " (Shown(error)) } }
                }
            }
        }
    }
}

fn of_cause(cause: &Cause) -> Markup {
    html! {
        div.cause {
            h4 { (Object(&cause.object)) ": " (Shown(&cause.reason)) }
            p {
                @if let Some(pod) = &cause.pod { "pod " code { (Shown(pod)) } }
                @if let Some(container) = &cause.container { " container " code { (Shown(container)) } }
                @if let Some(code) = cause.exit_code { " · exit code " (code) }
                @if cause.restarts > 0 { " · " (cause.restarts) " restarts" }
            }
            @if !cause.message.is_empty() { p { (Shown(&cause.message)) } }
            @if !cause.events.is_empty() { (lines("Events", &cause.events)) }
            @if !cause.previous_log.is_empty() { (lines("Log of the run before", &cause.previous_log)) }
            @if !cause.log.is_empty() { (lines("Log", &cause.log)) }
            @if let Some(why) = &cause.log_withheld { p.note { "The log is not shown: " (Shown(why)) } }
        }
    }
}

fn lines(title: &str, lines: &[String]) -> Markup {
    html! {
        h5 { (title) }
        pre tabindex="0" role="region" aria-label=(title) { @for line in lines { (Shown(line)) "\n" } }
    }
}

fn of_past(past: &Past) -> Markup {
    html! {
        li.card {
            p.headline {
                (badge(past.result.as_str())) " " (time(&past.ended_at))
                @if let Some(revision) = &past.revision { " " code title=(revision) { (short(revision)) } }
                @if let Some(subject) = &past.subject { " " strong { (Shown(subject)) } }
            }
            p.note {
                @if let Some(author) = &past.author { "by " (Shown(author)) " · " }
                (past.trigger.as_str()) " · " (past.applied) " applied, " (past.deleted) " deleted · " (seconds(past.seconds))
            }
            @if !past.changed.is_empty() { p { "Changed: " (names(&past.changed)) } }
            @if !past.unsynced.is_empty() { p { "Not synced: " (names(&past.unsynced)) } }
            @for error in &past.errors { (of_error(error)) }
        }
    }
}

fn names(names: &[String]) -> Markup {
    html! { @for (number, name) in names.iter().enumerate() { @if number > 0 { ", " } a href=(service_address(name)) { (Shown(name)) } } }
}

fn of_drift(seen: &DriftSeen) -> Markup {
    html! {
        li.card {
            p.headline { (badge(seen.action)) " " (time(&seen.at)) " " a href=(service_address(&seen.service)) { (Shown(&seen.service)) } }
            p { strong { (Object(&seen.object)) } ": " (Shown(&seen.what)) }
        }
    }
}
