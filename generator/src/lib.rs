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
//! - [`file`], [`settings`], [`service`], [`release`], [`rendered`], [`layout`]: the walk. [`validation`]: what a cluster would refuse.
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

pub mod validation;

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
use std::sync::OnceLock;

use manifest::hash::Hash;
use manifest::index::Entry;
use manifest::object::{Manifest, ObjectRef};
use rayon::prelude::*;

use diagnostic::{Diagnostic, Diagnostics, Place};
use helm::Request;
pub use layout::Generated;
use release::Chart;
use rendered::Placed;
use service::{Catalog, Service};
pub use source::SourceTree;
use validation::{Cluster, Definitions};

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
    let names = catalog.environments.iter();
    let clusters = names.map(|name| (name.clone(), Cluster::of(&catalog.settings, name))).collect();
    let ground = Ground { catalog, charts, clusters };
    let mut rendered: Vec<_> = services.into_par_iter().map(|service| render(service, &ground)).collect();
    check_custom(&mut rendered, tree, &ground);
    report_by_release(&rendered, &mut diagnostics);
    refuse_duplicates(&rendered, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let names = ground.catalog.environments.iter();
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

/// What every render stands on.
struct Ground {
    catalog: Catalog,
    /// By name.
    charts: BTreeMap<String, Chart>,
    /// By environment.
    clusters: BTreeMap<String, Cluster>,
}

/// What came of one service in one environment.
struct Outcome {
    environment: String,
    service: String,
    diagnostics: Diagnostics,
    /// Nothing where there are errors.
    output: Option<Output>,
    custom: Option<Custom>,
}

struct Output {
    entry: Entry,
    resources: String,
    /// Every object, and where it was rendered.
    objects: Vec<(ObjectRef, Place)>,
}

/// What custom kinds have to do with a release: known only when everything has been rendered.
struct Custom {
    /// The objects whose kinds are not Kubernetes' own.
    objects: Vec<Placed>,
    /// The objects that define kinds.
    definitions: Vec<Manifest>,
    chart: String,
    request: Request,
}

fn render(service: Service, ground: &Ground) -> Outcome {
    let mut outcome = Outcome {
        environment: service.environment.clone(),
        service: service.name.clone(),
        diagnostics: Diagnostics::new(),
        output: None,
        custom: None,
    };
    // A chart that could not be loaded has been reported.
    if let Some(chart) = ground.charts.get(&service.chart) {
        let output = render_release(service, chart, ground, &mut outcome);
        outcome.output = output.filter(|_| !outcome.diagnostics.has_errors());
    }
    outcome
}

fn render_release(service: Service, chart: &Chart, ground: &Ground, outcome: &mut Outcome) -> Option<Output> {
    let diagnostics = &mut outcome.diagnostics;
    let (version, chart_name, sync) = (service.version.clone(), service.chart.clone(), service.sync.clone());
    let environment = service.environment.clone();
    let release = release::prepare(service, chart, &ground.catalog);
    diagnostics.extend(release.warnings);
    let rendered = match helm::render(&chart.chart, &release.request, &helm::Options::default()) {
        Ok(rendered) => rendered,
        Err(wrong) => {
            diagnostics.extend(wrong);
            return None;
        }
    };
    let mut found = Diagnostics::new();
    let context = ground.context(&environment, &release.request, None);
    let mut placed = rendered::manifests(&rendered, &context, &mut found);
    if !found.is_empty() {
        // Something is to be said: once more, and texts are followed, so that it can be said where it was written.
        let followed;
        (placed, followed) = follow(chart, &release.request, &context).unwrap_or((placed, found));
        diagnostics.extend(followed);
    }
    let objects = placed.iter().map(|placed| (placed.manifest.id.clone(), placed.place.clone())).collect();
    let is_definition = |placed: &&Placed| placed.manifest.id.kind == validation::DEFINITION;
    let custom = Custom {
        objects: placed.iter().filter(|placed| placed.is_custom).cloned().collect(),
        definitions: placed.iter().filter(is_definition).map(|placed| placed.manifest.clone()).collect(),
        chart: chart_name.clone(),
        request: release.request,
    };
    outcome.custom = Some(custom).filter(|custom| !(custom.objects.is_empty() && custom.definitions.is_empty()));
    let mut manifests: Vec<_> = placed.into_iter().map(|Placed { manifest, .. }| manifest).collect();
    let resources = layout::resources(&mut manifests);
    let content = Hash::of(resources.as_bytes());
    let entry = Entry { chart: chart_name, content, inputs: release.inputs, objects: manifests.len(), sync, version };
    Some(Output { entry, resources, objects })
}

/// Renders a release with its texts followed. Nothing where that fails, which it did not before.
fn follow(chart: &Chart, request: &Request, context: &rendered::Context<'_>) -> Option<(Vec<Placed>, Diagnostics)> {
    let options = helm::Options { follow: true, ..helm::Options::default() };
    let rendered = helm::render(&chart.chart, request, &options).ok()?;
    let mut found = Diagnostics::new();
    let placed = rendered::manifests(&rendered, context, &mut found);
    Some((placed, found))
}

impl Ground {
    fn cluster(&self, environment: &str) -> &Cluster {
        self.clusters.get(environment).expect("the catalog lists the environment of every service")
    }

    fn context<'c>(
        &'c self,
        environment: &str,
        request: &'c Request,
        definitions: Option<&'c Definitions<'c>>,
    ) -> rendered::Context<'c> {
        rendered::Context {
            namespace: &request.namespace,
            allow_plaintext_secrets: self.catalog.settings.allows_plaintext_secrets(environment),
            scopes: &self.catalog.settings.scopes,
            cluster: self.cluster(environment),
            definitions,
        }
    }
}

/// Holds the objects of custom kinds to what their environment defines: what it renders, and then what else the repository has.
fn check_custom(outcomes: &mut [Outcome], tree: &SourceTree, ground: &Ground) {
    let in_tree = OnceLock::new();
    for environment in &ground.catalog.environments {
        let here = || outcomes.iter().enumerate().filter(|(_, outcome)| outcome.environment == *environment);
        let mut definitions = Definitions::default();
        for definition in
            here().filter_map(|(_, outcome)| outcome.custom.as_ref()).flat_map(|custom| &custom.definitions)
        {
            definitions.add(&definition.value);
        }
        let mut objects = here().filter_map(|(_, outcome)| outcome.custom.as_ref()).flat_map(|custom| &custom.objects);
        if objects.any(|object| !definitions.knows(&object.manifest)) {
            in_tree.get_or_init(|| validation::definitions_in(tree)).iter().for_each(|one| definitions.add(one));
        }
        let check = |(index, outcome): (usize, &Outcome)| {
            let custom = outcome.custom.as_ref().filter(|custom| !custom.objects.is_empty())?;
            Some((index, check_objects(custom, environment, &definitions, ground)))
        };
        let with_objects: Vec<(usize, &Outcome)> = here().collect();
        let found: Vec<(usize, Diagnostics)> = with_objects.into_par_iter().filter_map(check).collect();
        for (index, found) in found {
            outcomes[index].diagnostics.extend(found);
        }
    }
}

fn check_objects(custom: &Custom, environment: &str, definitions: &Definitions<'_>, ground: &Ground) -> Diagnostics {
    let cluster = ground.cluster(environment);
    let mut diagnostics = Diagnostics::new();
    let mut is_wrong = false;
    for Placed { manifest, place, .. } in &custom.objects {
        match definitions.check(manifest, cluster) {
            Some(findings) => is_wrong |= !findings.is_empty(),
            None => diagnostics.extend(cluster.no_definition(manifest).map(|diagnostic| diagnostic.at(place.clone()))),
        }
    }
    let chart = ground.charts.get(&custom.chart).filter(|_| is_wrong);
    let context = ground.context(environment, &custom.request, Some(definitions));
    diagnostics.extend(
        chart.and_then(|chart| follow(chart, &custom.request, &context)).into_iter().flat_map(|(_, found)| found),
    );
    diagnostics
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
