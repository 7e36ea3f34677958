//! Renders `services/` through the charts in `charts/` into `_gen/`.
//!
//! READ FIRST: [`generate`] is the whole walk. It is a pure function of a [`SourceTree`]: no disk, clock, environment or network, so the
//! same tree gives the same bytes on any machine, in any directory, with any number of threads. [`generate_over`] comes to the same result
//! without rendering what is committed already. Around it is a thin shell: [`disk`] fills the tree and writes the result, [`cli`] says what was
//! asked for, [`report`] says what came of it.
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
//! - [`committed`], [`shortcut`], [`integrity`], [`rbac`]: `_gen` read back, what of it need not be rendered again, whether it is what its
//!   indexes say, and what `syncd` must be allowed for it.
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

pub mod shortcut;

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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use manifest::hash::Hash;
use manifest::index::{Entry, Index};
use manifest::object::{Manifest, ObjectRef};
use manifest::yaml;
use rayon::prelude::*;
use serde_json::Value;

use committed::Identity;
use diagnostic::{Diagnostic, Diagnostics, Place};
use helm::Request;
pub use layout::Generated;
use release::Chart;
use rendered::Placed;
use service::{Catalog, Service};
use shortcut::{Committed, Shortcut};
use source::Content;
pub use source::SourceTree;
use validation::{Cluster, Definitions};

/// Generates every environment of a repository, and renders every service for it.
///
/// Runs in the current rayon pool; the result does not depend on its size.
///
/// # Errors
/// Everything that is wrong, in every service and every chart, and the warnings with it; then nothing is to be written.
pub fn generate(tree: &SourceTree) -> Result<Generated, Diagnostics> {
    generate_over(tree, &SourceTree::default(), Extent::Everything, &|_, _| {})
}

/// What is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every service; and where the shortcut would have taken one, it is held to what it would have taken.
    Everything,
    /// What is not committed already, see [`shortcut`].
    Changes,
}

/// Generates every environment of a repository that has `committed` as its `_gen`. The result is that of [`generate`], for either extent; what
/// is rendered for it differs. `rendered` is told how many services are rendered, and how many are to be.
///
/// # Errors
/// See [`generate`].
pub fn generate_over(
    tree: &SourceTree,
    committed: &SourceTree,
    extent: Extent,
    rendered: &(dyn Fn(usize, usize) + Sync),
) -> Result<Generated, Diagnostics> {
    let read = || {
        let (catalog, mut diagnostics) = service::read(tree);
        let charts = release::load_charts(tree, &catalog, &mut diagnostics);
        (Ground::new(tree, catalog, charts), diagnostics)
    };
    let ((ground, mut diagnostics), shortcut) = rayon::join(read, || Shortcut::new(committed));
    let work: Vec<Work<'_>> =
        ground.catalog.services.par_iter().filter_map(|one| ground.work(one, &shortcut)).collect();
    let mut definitions = ground.definitions(&work, &[]);
    let (mut taken, work): (Vec<_>, Vec<_>) =
        work.into_iter().partition(|work| extent == Extent::Changes && work.is_believed(&definitions));
    let mut outcomes = ground.render_all(work, rendered);
    loop {
        definitions = ground.definitions(&taken, &outcomes);
        // An object that two services have is told by the lines that rendered it, so neither of them can be spared.
        let colliding = colliding(&taken, &outcomes);
        let spared = |(i, work): &(usize, Work<'_>)| work.is_believed(&definitions) && !colliding.contains(i);
        let (rest, again): (Vec<_>, Vec<_>) = std::mem::take(&mut taken).into_iter().enumerate().partition(spared);
        taken = rest.into_iter().map(|(_, work)| work).collect();
        if again.is_empty() {
            break;
        }
        outcomes.extend(ground.render_all(again.into_iter().map(|(_, work)| work).collect(), rendered));
    }
    outcomes.par_sort_unstable_by(|a, b| a.work.place().cmp(&b.work.place()));
    ground.check_custom(&mut outcomes, &taken);
    outcomes.iter_mut().for_each(|outcome| outcome.settle(&definitions));
    let faults: Diagnostics = outcomes.iter().filter_map(|outcome| outcome.fault(&definitions)).collect();
    outcomes.extend(taken.into_iter().map(Outcome::taken));
    outcomes.par_sort_unstable_by(|a, b| a.work.place().cmp(&b.work.place()));
    report_by_release(&outcomes, &mut diagnostics);
    refuse_duplicates(&outcomes, &mut diagnostics);
    if diagnostics.has_errors() {
        diagnostics.extend(faults);
        return Err(diagnostics);
    }
    let names = ground.catalog.environments.iter();
    let mut environments: BTreeMap<String, layout::Environment> =
        names.map(|name| (name.clone(), layout::Environment::new(name))).collect();
    for Outcome { work: Work { service, .. }, output, .. } in outcomes {
        let environment =
            environments.get_mut(&service.environment).expect("the catalog lists the environment of every service");
        let output = output.expect("without errors, everything was rendered");
        environment.insert(&service.name, output.entry, output.resources);
    }
    Ok(Generated { environments, warnings: diagnostics, faults })
}

/// What every render stands on.
struct Ground<'t> {
    tree: &'t SourceTree,
    catalog: Catalog,
    /// By name.
    charts: BTreeMap<String, Chart>,
    /// By environment.
    clusters: BTreeMap<String, Cluster>,
    /// The hash of the settings, by environment.
    settings: BTreeMap<String, Hash>,
    /// The hash over the definitions that stand in files, whether they are rendered or not.
    in_files: Hash,
}

/// The hash over every definition that objects of custom kinds are held to, by environment.
type DefinitionHashes<'n> = BTreeMap<&'n str, Hash>;

/// One service in one environment, to be rendered or to be taken as it is committed.
struct Work<'w> {
    service: &'w Service,
    chart: &'w Chart,
    /// See [`release::inputs`].
    inputs: Hash,
    /// What its entry says, if its file is what the entry says; whatever it was rendered from.
    committed: Option<Committed<'w>>,
}

impl Work<'_> {
    /// Where it stands among the others.
    fn place(&self) -> (&str, &str) {
        (&self.service.environment, &self.service.name)
    }

    /// Tells whether what is committed was rendered from the inputs of now, and without a word.
    fn is_believed(&self, definitions: &DefinitionHashes<'_>) -> bool {
        let definitions = &definitions[self.service.environment.as_str()];
        self.committed.as_ref().is_some_and(|committed| {
            let inputs = committed.entry.inputs;
            inputs == self.inputs || inputs == release::with_definitions(&self.inputs, definitions)
        })
    }
}

/// What came of one service in one environment.
struct Outcome<'w> {
    work: Work<'w>,
    diagnostics: Diagnostics,
    /// Whether rendering gave any of them.
    has_said: bool,
    /// Nothing where there are errors.
    output: Option<Output>,
    custom: Option<Custom>,
}

struct Output {
    entry: Entry,
    resources: Content,
    /// Every object, and where it was rendered. Empty where nothing was.
    objects: Vec<(ObjectRef, Place)>,
}

/// What custom kinds have to do with a release: known only when everything has been rendered.
struct Custom {
    /// The objects whose kinds are not Kubernetes' own.
    objects: Vec<Placed>,
    /// The objects that define kinds.
    definitions: Vec<Manifest>,
    request: Request,
}

impl<'w> Outcome<'w> {
    /// Takes over what is committed; what can be said without rendering is said.
    fn taken(mut work: Work<'w>) -> Self {
        let Work { service, chart, .. } = work;
        let diagnostics = release::warnings(service, chart);
        let output = work.committed.take().map(|Committed { entry, resources, .. }| {
            let Service { version, chart, sync, .. } = service;
            let (version, chart) = (version.into(), chart.into());
            let entry = Entry { version, chart, sync: sync.clone(), ..*entry };
            Output { entry, resources, objects: Vec::new() }
        });
        Outcome { work, diagnostics, has_said: false, output, custom: None }
    }

    /// Gives the entry the inputs that are known only when everything has been rendered.
    fn settle(&mut self, definitions: &DefinitionHashes<'_>) {
        let Some(output) = &mut self.output else { return };
        if self.custom.as_ref().is_some_and(|custom| !custom.objects.is_empty()) {
            let definitions = &definitions[self.work.service.environment.as_str()];
            output.entry.inputs = release::with_definitions(&output.entry.inputs, definitions);
        }
        if self.has_said {
            output.entry.inputs = release::with_warnings(&output.entry.inputs);
        }
    }

    /// Returns what is wrong with the shortcut, where it would have taken what the sources do not render to.
    fn fault(&self, definitions: &DefinitionHashes<'_>) -> Option<Diagnostic> {
        let committed = self.work.committed.as_ref().filter(|_| self.work.is_believed(definitions))?;
        let is_same =
            |output: &Output| output.entry.inputs == committed.entry.inputs && output.resources == committed.resources;
        if self.output.as_ref().is_some_and(is_same) {
            return None;
        }
        let Service { name, environment, .. } = self.work.service;
        let message = format!(
            "the index says that service `{name}` was rendered from exactly these sources, but they render to something else"
        );
        let hint = "somebody has edited _gen and its index by hand, or another version of the generator wrote them: `generator render --full` writes them anew";
        let place = Place::file(Index::resources_path(environment, name));
        Some(Diagnostic::error("untrue-entry", message).at(place).hint(hint))
    }
}

fn render<'w>(work: Work<'w>, ground: &Ground<'_>) -> Outcome<'w> {
    let mut outcome = Outcome { work, diagnostics: Diagnostics::new(), has_said: false, output: None, custom: None };
    let output = render_release(&mut outcome, ground);
    outcome.output = output.filter(|_| !outcome.diagnostics.has_errors());
    outcome
}

fn render_release(outcome: &mut Outcome<'_>, ground: &Ground<'_>) -> Option<Output> {
    let Outcome { work: Work { service, chart, inputs, .. }, diagnostics, .. } = outcome;
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
    let context = ground.context(&service.environment, &release.request, None);
    let mut placed = rendered::manifests(&rendered, &context, &mut found);
    if !found.is_empty() {
        // Something is to be said: once more, and texts are followed, so that it can be said where it was written.
        let followed;
        (placed, followed) = follow(chart, &release.request, &context).unwrap_or((placed, found));
        diagnostics.extend(followed);
        outcome.has_said = true;
    }
    let objects = placed.iter().map(|placed| (placed.manifest.id.clone(), placed.place.clone())).collect();
    let is_definition = |placed: &&Placed| placed.manifest.id.kind == validation::DEFINITION;
    let custom = Custom {
        objects: placed.iter().filter(|placed| placed.is_custom).cloned().collect(),
        definitions: placed.iter().filter(is_definition).map(|placed| placed.manifest.clone()).collect(),
        request: release.request,
    };
    outcome.custom = Some(custom).filter(|custom| !(custom.objects.is_empty() && custom.definitions.is_empty()));
    let mut manifests: Vec<_> = placed.into_iter().map(|Placed { manifest, .. }| manifest).collect();
    let resources = layout::resources(&mut manifests);
    let content = Hash::of(resources.as_bytes());
    let Service { version, chart, sync, .. } = *service;
    let (version, chart, sync) = (version.into(), chart.into(), sync.clone());
    let entry = Entry { chart, content, inputs: *inputs, objects: manifests.len(), sync, version };
    Some(Output { entry, resources: resources.into(), objects })
}

/// Returns which of the services that are to be taken have an object that another service has, too.
fn colliding(taken: &[Work<'_>], outcomes: &[Outcome<'_>]) -> BTreeSet<usize> {
    if taken.is_empty() {
        return BTreeSet::new();
    }
    let objects_of_taken = taken.iter().enumerate().flat_map(|(i, work)| {
        let objects = work.committed.iter().flat_map(|committed| &committed.objects);
        objects.map(move |id| (work.service.environment.as_str(), *id, Some(i)))
    });
    let objects_of_rendered = outcomes.iter().flat_map(|outcome| {
        let objects = outcome.output.iter().flat_map(|output| &output.objects);
        objects.map(move |(id, _)| (outcome.work.service.environment.as_str(), Identity::from(id), None))
    });
    // Sorted by a hash, because identities are alike for most of their length; the hasher has no seed.
    let hashed = objects_of_taken.chain(objects_of_rendered).map(|(environment, id, taken)| {
        let mut hasher = DefaultHasher::new();
        (environment, id).hash(&mut hasher);
        (hasher.finish(), environment, id, taken)
    });
    let mut all: Vec<_> = hashed.collect();
    all.par_sort_unstable();
    let is_same = |a: &(_, _, _, _), b: &(_, _, _, _)| (a.0, a.1, a.2) == (b.0, b.1, b.2);
    let pairs = all.windows(2).filter(|pair| is_same(&pair[0], &pair[1]));
    pairs.flat_map(|pair| [pair[0].3, pair[1].3]).flatten().collect()
}

/// Renders a release with its texts followed. Nothing where that fails, which it did not before.
fn follow(chart: &Chart, request: &Request, context: &rendered::Context<'_>) -> Option<(Vec<Placed>, Diagnostics)> {
    let options = helm::Options { follow: true, ..helm::Options::default() };
    let rendered = helm::render(&chart.chart, request, &options).ok()?;
    let mut found = Diagnostics::new();
    let placed = rendered::manifests(&rendered, context, &mut found);
    Some((placed, found))
}

impl<'t> Ground<'t> {
    fn new(tree: &'t SourceTree, catalog: Catalog, charts: BTreeMap<String, Chart>) -> Self {
        let names = || catalog.environments.iter();
        let clusters = names().map(|name| (name.clone(), Cluster::of(&catalog.settings, name))).collect();
        let settings = names().map(|name| (name.clone(), catalog.settings.hash(name))).collect();
        let in_files = release::definitions(validation::definition_files(tree));
        Ground { tree, catalog, charts, clusters, settings, in_files }
    }

    /// Returns what is to be done for a service; nothing where its chart could not be loaded, which has been reported.
    fn work<'w>(&'w self, service: &'w Service, shortcut: &'w Shortcut<'_>) -> Option<Work<'w>> {
        let chart = self.charts.get(&service.chart)?;
        let inputs = release::inputs(service, chart, &self.settings[&service.environment]);
        Some(Work { service, chart, inputs, committed: shortcut.committed(&service.environment, &service.name) })
    }

    fn render_all<'w>(&self, work: Vec<Work<'w>>, rendered: &(dyn Fn(usize, usize) + Sync)) -> Vec<Outcome<'w>> {
        let (done, all) = (AtomicUsize::new(0), work.len());
        let outcomes = work.into_par_iter().map(|work| {
            let outcome = render(work, self);
            rendered(done.fetch_add(1, Ordering::Relaxed) + 1, all);
            outcome
        });
        outcomes.collect()
    }

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

    /// Returns the hash over all that is defined in each environment: by what is rendered, by what is taken, and in files.
    fn definitions(&self, taken: &[Work<'_>], outcomes: &[Outcome<'_>]) -> DefinitionHashes<'_> {
        let of_environment = |environment: &'_ String| {
            let here = |work: &Work<'_>| work.service.environment == *environment;
            let taken = taken.iter().filter(|work| here(work)).flat_map(|work| {
                let texts = work.committed.iter().flat_map(Committed::definitions);
                texts.map(|text| (work.service.name.as_str(), Cow::Borrowed(text)))
            });
            let rendered = outcomes.iter().filter(|outcome| here(&outcome.work)).flat_map(|outcome| {
                let definitions = outcome.custom.iter().flat_map(|custom| &custom.definitions);
                let text = |definition: &Manifest| yaml::write(&definition.value);
                definitions.map(move |definition| (outcome.work.service.name.as_str(), Cow::Owned(text(definition))))
            });
            let mut all: Vec<(&str, Cow<'_, str>)> = taken.chain(rendered).collect();
            all.sort();
            let texts = all.iter().map(|(service, text)| (*service, text.trim_end_matches('\n').as_bytes()));
            release::definitions(texts.chain([("files", self.in_files.to_string().as_bytes())]))
        };
        self.catalog.environments.iter().map(|name| (name.as_str(), of_environment(name))).collect()
    }

    /// Holds the objects of custom kinds that were rendered to what their environment defines: what is rendered and taken in it, and then what
    /// else the repository has.
    fn check_custom(&self, outcomes: &mut [Outcome<'_>], taken: &[Work<'_>]) {
        let in_tree = OnceLock::new();
        for environment in &self.catalog.environments {
            let here: Vec<usize> =
                (0..outcomes.len()).filter(|i| outcomes[*i].work.service.environment == *environment).collect();
            let custom = |i: &usize| outcomes[*i].custom.as_ref();
            if !here.iter().filter_map(custom).any(|custom| !custom.objects.is_empty()) {
                continue;
            }
            let of_taken = taken.iter().filter(|work| work.service.environment == *environment).flat_map(|work| {
                let values = work.committed.iter().flat_map(Committed::definitions).filter_map(committed::value);
                values.map(|value| (work.service.name.as_str(), Cow::Owned(value)))
            });
            let of_rendered = here.iter().flat_map(|i| {
                let definitions = custom(i).into_iter().flat_map(|custom| &custom.definitions);
                let name = outcomes[*i].work.service.name.as_str();
                definitions.map(move |definition| (name, Cow::Borrowed(&definition.value)))
            });
            let mut defined: Vec<(&str, Cow<'_, Value>)> = of_taken.chain(of_rendered).collect();
            defined.sort_by_key(|(service, _)| *service);
            let mut definitions = Definitions::default();
            defined.iter().for_each(|(_, definition)| definitions.add(definition));
            let mut objects = here.iter().filter_map(custom).flat_map(|custom| &custom.objects);
            if objects.any(|object| !definitions.knows(&object.manifest)) {
                in_tree
                    .get_or_init(|| validation::definitions_in(self.tree))
                    .iter()
                    .for_each(|one| definitions.add(one));
            }
            let check = |i: &usize| {
                let Outcome { work, custom, .. } = &outcomes[*i];
                let custom = custom.as_ref().filter(|custom| !custom.objects.is_empty())?;
                Some((*i, self.check_objects(work, custom, &definitions)))
            };
            let found: Vec<(usize, Diagnostics)> = here.par_iter().filter_map(check).collect();
            for (i, found) in found {
                outcomes[i].has_said |= !found.is_empty();
                outcomes[i].diagnostics.extend(found);
            }
        }
    }

    fn check_objects(&self, work: &Work<'_>, custom: &Custom, definitions: &Definitions<'_>) -> Diagnostics {
        let environment = &work.service.environment;
        let cluster = self.cluster(environment);
        let mut diagnostics = Diagnostics::new();
        let mut is_wrong = false;
        for Placed { manifest, place, .. } in &custom.objects {
            match definitions.check(manifest, cluster) {
                Some(findings) => is_wrong |= !findings.is_empty(),
                None => {
                    diagnostics.extend(cluster.no_definition(manifest).map(|diagnostic| diagnostic.at(place.clone())));
                }
            }
        }
        if is_wrong {
            let context = self.context(environment, &custom.request, Some(definitions));
            let followed = follow(work.chart, &custom.request, &context);
            diagnostics.extend(followed.into_iter().flat_map(|(_, found)| found));
        }
        diagnostics
    }
}

/// Says once what is wrong in many releases of a chart, and in which.
fn report_by_release(outcomes: &[Outcome<'_>], diagnostics: &mut Diagnostics) {
    let mut releases: BTreeMap<&Diagnostic, Vec<String>> = BTreeMap::new();
    for outcome in outcomes {
        let Service { name, environment, .. } = outcome.work.service;
        let folder = format!("{}/{name}/{environment}", service::FOLDER);
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
fn refuse_duplicates(outcomes: &[Outcome<'_>], diagnostics: &mut Diagnostics) {
    let mut first: BTreeMap<(&str, &ObjectRef), (&str, &Place)> = BTreeMap::new();
    for outcome in outcomes {
        for (id, place) in outcome.output.iter().flat_map(|output| &output.objects) {
            let Service { name: service, environment, .. } = outcome.work.service;
            match first.get(&(environment.as_str(), id)) {
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
