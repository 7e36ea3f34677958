//! What is waited for, while it is waited for: a table that is drawn anew on a terminal, plain lines elsewhere.
//!
//! Shows [`Event`]s of one cycle and nothing else. Services that ended stay as lines above the table. Knows no terminal's size: lines are
//! cut by the terminal, not wrapped, while the table is drawn. Invariant: what is written elsewhere than on a terminal has no control
//! characters but line ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::report::{Event, Observer, ServiceReport, Waiting, printable};

/// Rows of the table; what does not fit is counted.
const ROWS_MAX: usize = 20;

/// Where it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// On a terminal.
    Table,
    /// Into a file or a log.
    Lines,
}

/// Shows how a cycle goes on.
pub struct Progress<W> {
    form: Form,
    shown: Mutex<Shown<W>>,
}

struct Shown<W> {
    out: W,
    /// Rows of the table that are on the terminal.
    drawn: usize,
    waiting: BTreeMap<String, Vec<Waiting>>,
}

impl<W: Write> Progress<W> {
    /// Prepares; writes nothing yet.
    pub fn new(form: Form, out: W) -> Self {
        Progress { form, shown: Mutex::new(Shown { out, drawn: 0, waiting: BTreeMap::new() }) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown<W>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + Send> Observer for Progress<W> {
    fn observe(&self, event: &Event) {
        let mut shown = self.shown();
        let lines = match event {
            Event::ServiceStarted { service } => {
                shown.waiting.insert(service.clone(), Vec::new());
                Vec::new()
            }
            Event::Waiting { service, waiting_for } => {
                let before = shown.waiting.insert(service.clone(), waiting_for.clone()).unwrap_or_default();
                let news = waiting_for.iter().filter(|waiting| self.form == Form::Lines && !before.contains(waiting));
                news.map(|waiting| format!("waiting {}", row(service, waiting))).collect()
            }
            Event::ServiceFinished { service, report } => {
                shown.waiting.remove(service);
                vec![ended(service, report)]
            }
            Event::Failed(error) => vec![format!("{}: {}", error.stage.as_str(), printable(&error.message))],
            // The report's own text says it with what to do about it.
            Event::Held(_) | Event::Suspended(_) | Event::Drift { .. } => return,
            Event::Revision { .. } | Event::Planned { .. } | Event::Object { .. } => return,
            Event::ServiceApplied { .. } => return,
        };
        // Whoever closed our output wants no more of it.
        let _ = shown.write(self.form, &lines);
    }
}

impl<W: Write> Shown<W> {
    fn write(&mut self, form: Form, lines: &[String]) -> std::io::Result<()> {
        if form == Form::Lines {
            for line in lines {
                writeln!(self.out, "{line}")?;
            }
            return self.out.flush();
        }
        let rows = table(&self.waiting);
        let mut text = String::from("\u{1b}[?7l"); // Long lines are cut: a wrapped one would be two.
        if self.drawn > 0 {
            text += &format!("\u{1b}[{}A", self.drawn);
        }
        text += "\r\u{1b}[J";
        lines.iter().chain(&rows).for_each(|line| text += &format!("{line}\n"));
        text += "\u{1b}[?7h";
        self.drawn = rows.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Returns the table of what is waited for; empty where nothing is.
fn table(waiting: &BTreeMap<String, Vec<Waiting>>) -> Vec<String> {
    let all: Vec<[String; 3]> = waiting
        .iter()
        .flat_map(|(service, waiting)| {
            waiting.iter().map(|waiting| {
                [printable(service), printable(&waiting.object.to_string()), printable(&waiting.message)]
            })
        })
        .collect();
    if all.is_empty() {
        return Vec::new();
    }
    let head = ["SERVICE", "OBJECT", "WAITS FOR"].map(str::to_owned);
    let rows: Vec<&[String; 3]> = std::iter::once(&head).chain(all.iter().take(ROWS_MAX)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut lines: Vec<String> = rows
        .iter()
        .map(|[service, object, message]| format!("{service:<first$}  {object:<second$}  {message}"))
        .collect();
    if all.len() > ROWS_MAX {
        lines.push(format!("and {} more", all.len() - ROWS_MAX));
    }
    lines
}

fn row(service: &str, waiting: &Waiting) -> String {
    format!("{}: {}: {}", printable(service), printable(&waiting.object.to_string()), printable(&waiting.message))
}

fn ended(service: &str, report: &ServiceReport) -> String {
    let error = report.error.as_ref().map(|error| format!(": {}", printable(error))).unwrap_or_default();
    format!("{} {}, {:.1} s{error}", report.state.as_str(), printable(service), report.seconds)
}

#[cfg(test)]
mod tests {
    use manifest::ObjectRef;

    use super::*;
    use crate::report::ServiceState;

    fn waiting(name: &str, message: &str) -> Waiting {
        let object =
            ObjectRef { group: "apps".into(), kind: "Deployment".into(), namespace: "n".into(), name: name.into() };
        Waiting { object, message: message.to_owned() }
    }

    fn finished(service: &str) -> Event {
        let report = ServiceReport {
            state: ServiceState::Failed,
            version: None,
            applied: 1,
            deleted: 0,
            unchanged: 0,
            failed: 1,
            withheld: 0,
            seconds: 2.0,
            error: Some("no\u{1b} image".to_owned()),
            waiting_for: Vec::new(),
            causes: Vec::new(),
            objects: [].into(),
            failures: 1,
            state_bytes: 0,
        };
        Event::ServiceFinished { service: service.to_owned(), report }
    }

    fn shown(form: Form) -> String {
        let progress = Progress::new(form, Vec::new());
        let waits = |service: &str, waiting_for: Vec<Waiting>| {
            progress.observe(&Event::Waiting { service: service.to_owned(), waiting_for });
        };
        progress.observe(&Event::ServiceStarted { service: "app1".to_owned() });
        waits("app1", vec![waiting("a", "0 of 2 replicas updated"), waiting("b", "0 of 1 replicas updated")]);
        waits("app1", vec![waiting("a", "1 of 2 replicas updated"), waiting("b", "0 of 1 replicas updated")]);
        waits("application2", vec![waiting("c", "x")]);
        progress.observe(&finished("app1"));
        let shown = progress.shown();
        String::from_utf8(shown.out.clone()).expect("text")
    }

    #[test]
    fn elsewhere_each_piece_of_news_is_a_line() {
        insta::assert_snapshot!(shown(Form::Lines), @r"
        waiting app1: Deployment.apps n/a: 0 of 2 replicas updated
        waiting app1: Deployment.apps n/b: 0 of 1 replicas updated
        waiting app1: Deployment.apps n/a: 1 of 2 replicas updated
        waiting application2: Deployment.apps n/c: x
        failed app1, 2.0 s: no  image
        ");
    }

    #[test]
    fn on_a_terminal_the_table_takes_the_place_of_the_one_before() {
        let text = shown(Form::Table);
        let last = text.rsplit("\u{1b}[?7l").next().expect("drawn").replace('\u{1b}', "ESC").replace('\r', " CR");
        insta::assert_snapshot!(last, @r"
        ESC[4A CRESC[Jfailed app1, 2.0 s: no  image
        SERVICE       OBJECT               WAITS FOR
        application2  Deployment.apps n/c  x
        ESC[?7h
        ");
    }

    #[test]
    fn a_long_table_is_cut_and_counted() {
        let many = (0..30).map(|number| waiting(&format!("d{number}"), "x")).collect();
        let lines = table(&[("app1".to_owned(), many)].into());
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (22, Some("and 10 more")));
        assert!(table(&BTreeMap::new()).is_empty());
    }
}
