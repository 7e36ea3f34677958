//! Renders `services/` through the charts in `charts/` into `_gen/`.
//!
//! READ FIRST: [`generate`] is the whole walk. It is a pure function of a [`SourceTree`]: no disk, clock, environment or network, so the
//! same tree gives the same bytes on any machine, in any directory, with any number of threads. Around it is a thin shell: [`disk`] fills
//! the tree and writes the result, [`cli`] says what was asked for, [`report`] says what came of it.
//!
//! ```text
//! SourceTree -> Catalog of Services, Charts -> Release -> rendered text -> Manifests -> Generated -> files
//! ```
//!
//! Floors, from the lowest; a module knows those below it only:
//!
//! - [`value`], [`source`], [`diagnostic`]: what templates compute with, the input, and what is said about it.
//! - [`gotemplate`]: Go's text/template. [`sprig`]: the functions charts call. [`helm`]: charts, rendered as Helm renders them.
//! - [`file`], [`settings`], [`service`], [`release`], [`rendered`], [`layout`]: the walk.
//! - [`difference`]: what two states of `_gen` mean to a cluster. [`explain`]: where values come from and go.
//! - [`committed`], [`integrity`], [`rbac`]: `_gen` read back, held against its indexes, and what `syncd` must be allowed for it.
//! - [`scaffold`], [`hook`]: new services and environments, and the hook that keeps `_gen` current.
//! - [`disk`], [`git`], [`report`], [`cli`]: the shell.

pub mod diagnostic;
pub mod source;
pub mod value;

pub mod gotemplate;
pub mod sprig;

pub mod helm;

pub mod file;

pub mod settings;

pub mod service;

pub mod release;

pub mod rendered;

pub mod layout;

pub mod committed;

pub mod difference;

pub mod explain;

pub mod integrity;

pub mod rbac;

pub mod scaffold;

pub mod hook;

pub mod disk;

pub mod git;

pub mod report;

pub mod cli;

use std::collections::BTreeMap;

use manifest::hash::Hash;
use manifest::index::Entry;
use manifest::object::ObjectRef;
use rayon::prelude::*;

use diagnostic::{Diagnostic, Diagnostics, Place};
pub use layout::Generated;
use release::Chart;
use rendered::Placed;
use service::{Catalog, Service};
pub use source::SourceTree;

/// Generates every environment of a repository.
///
/// Runs in the current rayon pool; the result does not depend on its size.
///
/// # Errors
/// Everything that is wrong, in every service and every chart, and the warnings with it; then nothing is to be written.
pub fn generate(tree: &SourceTree) -> Result<Generated, Diagnostics> {
    let (mut catalog, mut diagnostics) = service::read(tree);
    let charts = release::load_charts(tree, &catalog, &mut diagnostics);
    let services = std::mem::take(&mut catalog.services);
    let rendered: Vec<_> = services.into_par_iter().map(|service| render(service, &charts, &catalog)).collect();
    report_by_release(&rendered, &mut diagnostics);
    refuse_duplicates(&rendered, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let names = catalog.environments.iter();
    let mut environments: BTreeMap<String, layout::Environment> =
        names.map(|name| (name.clone(), layout::Environment::new(name))).collect();
    for Outcome { environment, service, output, .. } in rendered {
        let environment =
            environments.get_mut(&environment).expect("the catalog lists the environment of every service");
        let output = output.expect("without errors, everything was rendered");
        environment.insert(&service, output.entry, output.resources);
    }
    Ok(Generated { environments, warnings: diagnostics })
}

/// What came of one service in one environment.
struct Outcome {
    environment: String,
    service: String,
    diagnostics: Diagnostics,
    /// Nothing where there are errors.
    output: Option<Output>,
}

struct Output {
    entry: Entry,
    resources: String,
    /// Every object, and where it was rendered.
    objects: Vec<(ObjectRef, Place)>,
}

fn render(service: Service, charts: &BTreeMap<String, Chart>, catalog: &Catalog) -> Outcome {
    let mut outcome = Outcome {
        environment: service.environment.clone(),
        service: service.name.clone(),
        diagnostics: Diagnostics::new(),
        output: None,
    };
    // A chart that could not be loaded has been reported.
    if let Some(chart) = charts.get(&service.chart) {
        let output = render_release(service, chart, catalog, &mut outcome.diagnostics);
        outcome.output = output.filter(|_| !outcome.diagnostics.has_errors());
    }
    outcome
}

fn render_release(service: Service, chart: &Chart, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Option<Output> {
    let (version, chart_name, sync) = (service.version.clone(), service.chart.clone(), service.sync.clone());
    let allow_plaintext_secrets = catalog.settings.allows_plaintext_secrets(&service.environment);
    let release = release::prepare(service, chart, catalog);
    diagnostics.extend(release.warnings);
    let rendered = match helm::render(&chart.chart, &release.request, &helm::Options::default()) {
        Ok(rendered) => rendered,
        Err(wrong) => {
            diagnostics.extend(wrong);
            return None;
        }
    };
    let context = rendered::Context {
        namespace: &release.request.namespace,
        allow_plaintext_secrets,
        scopes: &catalog.settings.scopes,
    };
    let mut found = Diagnostics::new();
    let mut placed = rendered::manifests(&rendered, &context, &mut found);
    if !found.is_empty() {
        // Something is to be said: once more, and texts are followed, so that it can be said where it was written.
        let options = helm::Options { follow: true, ..helm::Options::default() };
        if let Ok(rendered) = helm::render(&chart.chart, &release.request, &options) {
            found = Diagnostics::new();
            placed = rendered::manifests(&rendered, &context, &mut found);
        }
        diagnostics.extend(found);
    }
    let objects = placed.iter().map(|placed| (placed.manifest.id.clone(), placed.place.clone())).collect();
    let mut manifests: Vec<_> = placed.into_iter().map(|Placed { manifest, .. }| manifest).collect();
    let resources = layout::resources(&mut manifests);
    let content = Hash::of(resources.as_bytes());
    let entry = Entry { chart: chart_name, content, inputs: release.inputs, objects: manifests.len(), sync, version };
    Some(Output { entry, resources, objects })
}

/// Says once what is wrong in many releases of a chart, and in which.
fn report_by_release(outcomes: &[Outcome], diagnostics: &mut Diagnostics) {
    let mut releases: BTreeMap<&Diagnostic, Vec<String>> = BTreeMap::new();
    for outcome in outcomes {
        let folder = format!("{}/{}/{}", service::FOLDER, outcome.service, outcome.environment);
        for diagnostic in outcome.diagnostics.iter() {
            releases.entry(diagnostic).or_default().push(folder.clone());
        }
    }
    for (diagnostic, mut folders) in releases {
        // What stands in a file of the services needs no word on whose it is.
        let is_own = diagnostic.place.as_ref().is_some_and(|place| place.file.starts_with(service::FOLDER));
        let label = match folders.len() {
            1 => "in the render of".to_owned(),
            others => format!("in {others} renders, the first of them of"),
        };
        let diagnostic = shortened(diagnostic.clone());
        diagnostics.push(if is_own {
            diagnostic
        } else {
            diagnostic.related(Place::file(folders.swap_remove(0)), label)
        });
    }
}

/// Leaves out the middle of a long trace: a template that includes itself has been called a thousand times.
fn shortened(mut diagnostic: Diagnostic) -> Diagnostic {
    const FIRST: usize = 4;
    const LAST: usize = 3;
    let trace = &mut diagnostic.trace;
    if trace.len() > FIRST + LAST {
        let left_out = trace.drain(FIRST..trace.len() - LAST).count();
        let label = &mut trace[FIRST - 1].label;
        *label = format!("{label}; {left_out} more are left out here");
    }
    diagnostic
}

/// Reports every object that two services of one environment render.
fn refuse_duplicates(outcomes: &[Outcome], diagnostics: &mut Diagnostics) {
    let mut first: BTreeMap<(&str, &ObjectRef), (&str, &Place)> = BTreeMap::new();
    for outcome in outcomes {
        for (id, place) in outcome.output.iter().flat_map(|output| &output.objects) {
            let (service, environment) = (outcome.service.as_str(), outcome.environment.as_str());
            match first.get(&(environment, id)) {
                Some((other, first_place)) => {
                    let what = format!(
                        "is rendered twice in environment `{environment}`: by service `{other}` and by service `{service}`"
                    );
                    diagnostics.push(rendered::duplicate(id, &what, place, first_place));
                }
                None => drop(first.insert((environment, id), (service, place))),
            }
        }
    }
}
