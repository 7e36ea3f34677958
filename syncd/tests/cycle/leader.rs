//! Several `syncd`s of one environment, in virtual time: one acts, the others stand by, whatever happens to the one.
//!
//! After every request that changes something: whoever sent it holds the Lease. At the end of every story: exactly what the last revision
//! wants is there and recorded, and who had lost the Lease sent nothing more.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use manifest::index::DriftPolicy;
use sandbox::Request as ModelRequest;
use syncd::config::Settings;
use syncd::cycle::{Clock, Takeover};
use syncd::daemon::{Pace, Reconciler};
use syncd::election::{Election, Fence};
use syncd::leader::{Leadership, Surroundings, lead};
use syncd::state::{self, StateError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use ulid::Ulid;

use crate::cluster::{HOME, TestCluster};
use crate::model::repo::{Shared, TestRepo};
use crate::world::{ENVIRONMENT, Events, Service, TICK, files, owned, service, unrecorded};

struct ModelClock(sandbox::Cluster);

impl Clock for ModelClock {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
}

/// What stops a process from running, as SIGSTOP does: nothing of it happens until it is let go on.
#[derive(Default)]
struct Pause {
    paused: bool,
    waker: Option<Waker>,
}

/// One `syncd run`.
pub struct Process {
    pub cluster: Arc<TestCluster>,
    pause: Arc<Mutex<Pause>>,
    stop: watch::Sender<bool>,
    stands: Arc<Mutex<Vec<Leadership>>>,
    task: JoinHandle<()>,
}

impl Process {
    fn go_on(&self) {
        let waker = {
            let mut pause = self.pause.lock().expect("whole");
            pause.paused = false;
            pause.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Asks it to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn stands(&self) -> Vec<Leadership> {
        self.stands.lock().expect("whole").clone()
    }

    pub fn leads(&self) -> bool {
        matches!(self.stands().last(), Some(Leadership::Leads { .. }))
    }

    fn has_lost(&self) -> bool {
        self.stands().iter().any(|stand| matches!(stand, Leadership::Lost { .. }))
    }
}

/// A repository, a model, and processes.
pub struct World {
    repo: Arc<TestRepo>,
    pub model: sandbox::Cluster,
    pub events: Arc<Events>,
    pub policy: DriftPolicy,
}

impl World {
    pub fn new() -> Self {
        let namespaces = vec!["n".to_owned(), HOME.to_owned()];
        let settings = sandbox::Settings { namespaces, history_max: 50_000, ..sandbox::Settings::default() };
        let (repo, events, policy) = (Arc::default(), Arc::default(), DriftPolicy::default());
        World { repo, model: sandbox::Cluster::new(settings), events, policy }
    }

    pub fn commit(&self, services: &[Service]) {
        self.repo.commit(files(services));
    }

    fn holder(&self) -> String {
        holder(&self.model)
    }

    /// Starts a process. `paused_at`: it is stopped before its request with that number, of those that concern the environment, arrives.
    pub fn start(&self, name: &str, paused_at: Option<usize>) -> Process {
        let fence = Fence::shut();
        let mut cluster = TestCluster::new(self.model.clone());
        cluster.fence = fence.clone();
        let pause: Arc<Mutex<Pause>> = Arc::default();
        let (model, own) = (self.model.clone(), name.to_owned());
        cluster.check(move |call| {
            let changes = ["apply ", "delete ", "write "].iter().any(|begin| call.starts_with(begin));
            assert!(!changes || holder(&model) == own, "`{own}` sent `{call}` while `{}` leads", holder(&model));
            assert_eq!(unrecorded(&model), Vec::<String>::new(), "not recorded after {call} of `{own}`");
        });
        let stopper = Arc::clone(&pause);
        cluster.before(move |number| {
            if Some(number) == paused_at {
                stopper.lock().expect("whole").paused = true;
            }
        });
        let clock: Arc<dyn Clock> = Arc::new(ModelClock(self.model.clone()));
        let mut settings = Settings::new(ENVIRONMENT, HOME);
        settings.concurrency = 4;
        settings.drift = self.policy;
        let (repo, events) = (Shared(Arc::clone(&self.repo)), Arc::clone(&self.events));
        let mut reconciler = Reconciler::new(repo, cluster, settings, Arc::clone(&clock), events);
        let cluster = reconciler.cluster();
        let (stop, stopped) = watch::channel(false);
        let stands: Arc<Mutex<Vec<Leadership>>> = Arc::default();
        let told = Arc::clone(&stands);
        let identity = name.to_owned();
        let run = async move {
            let tell = |stand: &Leadership| told.lock().expect("whole").push(stand.clone());
            let election =
                Election { lease: state::root_name(ENVIRONMENT), identity, duration: Duration::from_secs(15) };
            let (election, fence, pace, clock) = (&election, &fence, &Pace::default(), &*clock);
            let around = Surroundings { election, fence, pace, clock, listener: &(), tell: &tell };
            let even = || Ulid::from_parts(0, 1 << (Ulid::RAND_BITS - 1));
            lead(&mut reconciler, &around, even, stopped).await;
        };
        #[expect(clippy::disallowed_methods, reason = "a process is what a task is here: it can be killed")]
        let task = tokio::spawn(pausable(run, Arc::clone(&pause)));
        Process { cluster, pause, stop, stands, task }
    }

    /// Lets time pass until something is so; at most two minutes. Returns how long it took.
    pub async fn until(&self, what: &str, so: impl Fn() -> bool) -> Duration {
        let start = Instant::now();
        while !so() {
            assert!(start.elapsed() < Duration::from_secs(120), "{what}: it never was; {:?} leads", self.holder());
            self.pass(TICK).await;
        }
        start.elapsed()
    }

    pub async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            tokio::time::sleep(TICK).await;
            self.model.advance(TICK);
        }
    }

    /// Tells whether exactly what a revision wants is there and recorded, with nothing open.
    pub fn is(&self, revision: &[Service]) -> bool {
        let mut wanted: Vec<String> = revision
            .iter()
            .flat_map(|service| &service.objects)
            .map(|(id, _)| crate::world::id(id).to_string())
            .collect();
        wanted.sort();
        let mut there: Vec<String> = owned(&self.model).into_iter().map(|(id, _, _)| id.to_string()).collect();
        there.sort();
        let contents = revision.iter().flat_map(|service| &service.objects).all(|(id, content)| {
            let id = crate::world::id(id);
            let object = self.model.object(&id.group, &id.kind, &id.namespace, &id.name);
            id.kind != "ConfigMap" || object.is_some_and(|object| object["data"]["content"] == content.as_str())
        });
        let state = crate::world::state(&self.model);
        let mut recorded: Vec<String> =
            state.records().flat_map(|(_, record)| record.held.keys().map(ToString::to_string)).collect();
        recorded.sort();
        let closed = state.records().all(|(_, record)| record.intent.is_none());
        wanted == there && wanted == recorded && contents && closed
    }

    fn epoch(&self) -> u64 {
        crate::world::state(&self.model).epoch()
    }
}

fn holder(model: &sandbox::Cluster) -> String {
    let lease = model.object("coordination.k8s.io", "Lease", HOME, &state::root_name(ENVIRONMENT));
    lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned)).unwrap_or_default()
}

async fn pausable(inner: impl Future<Output = ()>, pause: Arc<Mutex<Pause>>) {
    let mut inner = pin!(inner);
    std::future::poll_fn(|context| {
        {
            let mut pause = pause.lock().expect("whole");
            if pause.paused {
                pause.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        let inner: Pin<&mut _> = inner.as_mut();
        inner.poll(context)
    })
    .await;
}

/// What is there first: one service goes, one changes, one comes, and an object moves.
fn one() -> Vec<Service> {
    vec![
        service("app1", &[("ConfigMap a", "v1"), ("ConfigMap moves", "v1"), ("Secret s", "v1")]),
        service("app2", &[("ConfigMap b", "v1"), ("Service b", "v1")]),
        service("goes", &[("ConfigMap g", "v1"), ("ConfigMap h", "v1")]),
    ]
}

fn two() -> Vec<Service> {
    vec![
        service("app1", &[("ConfigMap a", "v2"), ("Secret s", "v1")]),
        service("app2", &[("ConfigMap b", "v1"), ("ConfigMap moves", "v1"), ("Service b", "v2")]),
        service("comes", &[("ConfigMap c", "v2")]),
    ]
}

/// What nobody knows yet who is stopped in the middle of `two`: it takes back what that brings, and brings back what that takes.
fn three() -> Vec<Service> {
    vec![
        service("app1", &[("ConfigMap a", "v3"), ("ConfigMap moves", "v3")]),
        service("goes", &[("ConfigMap g", "v3")]),
        service("later", &[("ConfigMap l", "v3")]),
    ]
}

/// Two processes of which `a` leads and has synced the first revision.
async fn pair(paused_at: Option<usize>) -> (World, Process, Process) {
    let world = World::new();
    world.commit(&one());
    let a = world.start("a", paused_at);
    world.until("a leads", || a.leads()).await;
    let b = world.start("b", None);
    world.until("b stands by", || !b.stands().is_empty()).await;
    world.until("the first revision", || world.is(&one())).await;
    (world, a, b)
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_asks_for_nothing_but_the_lease() {
    let (world, a, b) = pair(None).await;
    b.cluster.take_calls();
    world.commit(&two());
    world.until("the second revision", || world.is(&two())).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.holder(), "a");
    let calls = b.cluster.take_calls();
    assert!(!calls.is_empty() && calls.iter().all(|call| call == "get lease"), "{calls:?}");
    assert_eq!(a.stands(), [Leadership::Leads { takeover: Takeover::Forced }], "nobody gave it to the first one");
    a.cluster.take_calls();
    world.pass(Duration::from_secs(60)).await;
    let calls = a.cluster.take_calls();
    assert!(calls.iter().all(|call| call == "put lease"), "{calls:?}");
    assert!((19..=21).contains(&calls.len()), "one renewal in three seconds: {}", calls.len());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_asked_to_stop_hands_over_at_once() {
    let (world, a, b) = pair(None).await;
    let before = world.epoch();
    world.commit(&two());
    a.stop.send_replace(true);
    let took = world.until("b leads", || b.leads()).await;
    assert!(took <= Duration::from_secs(4), "{took:?}");
    assert!(a.task.is_finished());
    assert_eq!(b.stands().last(), Some(&Leadership::Leads { takeover: Takeover::Clean }));
    world.until("the second revision", || world.is(&two())).await;
    assert_eq!(world.epoch(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_killed_anywhere_is_followed_by_the_other() {
    let (world, a, b) = pair(None).await;
    let begun = a.cluster.count();
    world.commit(&two());
    world.until("the second revision", || world.is(&two())).await;
    let calls = a.cluster.count() - begun;
    drop((world, b));
    assert!(calls > 10, "{calls}");
    for number in begun..begun + calls {
        let (world, a, b) = pair(Some(number)).await;
        world.commit(&two());
        world.until("a is stopped", || a.pause.lock().expect("whole").paused).await;
        a.task.abort();
        world.commit(&three());
        let took = world.until("b leads", || b.leads()).await;
        assert!(took <= Duration::from_secs(19), "{number}: {took:?}");
        assert_eq!(b.stands().last(), Some(&Leadership::Leads { takeover: Takeover::Forced }));
        world.until("the third revision", || world.is(&three())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_paused_anywhere_changes_nothing_when_it_goes_on() {
    let (world, a, _b) = pair(None).await;
    let begun = a.cluster.count();
    world.commit(&two());
    world.until("the second revision", || world.is(&two())).await;
    let calls = a.cluster.count() - begun;
    for number in begun..begun + calls {
        let (world, a, b) = pair(Some(number)).await;
        world.commit(&two());
        world.until("a is stopped", || a.pause.lock().expect("whole").paused).await;
        world.commit(&three());
        world.until("b leads", || b.leads()).await;
        world.until("the third revision", || world.is(&three())).await;
        a.cluster.take_calls();
        a.go_on();
        world.pass(Duration::from_secs(90)).await;
        assert!(world.is(&three()), "request {number}");
        assert_eq!(world.holder(), "b", "request {number}");
        assert!(a.has_lost(), "request {number}: {:?}", a.stands());
        let calls = a.cluster.take_calls();
        let writes: Vec<&String> = calls.iter().filter(|call| !call.starts_with("get ")).collect();
        assert_eq!(writes, Vec::<&String>::new(), "request {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_the_other_begins() {
    for requests in [&[""][..], &["put lease", "get lease"]] {
        let (world, a, b) = pair(None).await;
        a.cluster.cut(requests);
        let stopped = world.until("a has stopped", || a.has_lost()).await;
        assert!(stopped <= Duration::from_secs(11), "{requests:?}: {stopped:?}");
        assert!(!b.leads());
        world.commit(&two());
        world.until("b leads", || b.leads()).await;
        world.until("the second revision", || world.is(&two())).await;
        a.cluster.cut(&[]);
        world.commit(&three());
        world.until("the third revision", || world.is(&three())).await;
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(world.holder(), "b");
        assert!(matches!(a.stands().last(), Some(Leadership::Standby { error: None, .. })), "{:?}", a.stands());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deletes_goes_back_to_its_leader() {
    let (world, a, b) = pair(None).await;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/{}", state::root_name(ENVIRONMENT));
    assert!(world.model.handle(&ModelRequest::delete(&path)).is_success());
    world.commit(&two());
    world.until("the second revision", || world.is(&two())).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!((world.holder().as_str(), a.leads(), b.leads()), ("a", true, false));
}

#[tokio::test(start_paused = true)]
async fn both_gone_and_a_third_one_comes() {
    let (world, a, b) = pair(None).await;
    a.task.abort();
    b.task.abort();
    world.commit(&two());
    let c = world.start("c", None);
    let took = world.until("c leads", || c.leads()).await;
    assert!(took > Duration::from_secs(14) && took <= Duration::from_secs(16), "it has to see it rest: {took:?}");
    world.until("the second revision", || world.is(&two())).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_who_read_the_state_before_can_write_it_after_a_takeover() {
    let (world, _a, _b) = pair(None).await;
    let cluster = TestCluster::new(world.model.clone());
    let before = state::read(&cluster, ENVIRONMENT).await.expect("readable");
    let after = state::take_over(&cluster, ENVIRONMENT, before.clone(), false, (1 << 20, 4)).await.expect("written");
    assert_eq!(after.epoch(), before.epoch() + 1);
    assert!(after.records().all(|(_, record)| record.epoch == after.epoch()));
    let root = before.root.as_ref().expect("there");
    let written = state::write_root(&cluster, Some(root), root.root.clone()).await;
    assert!(matches!(written, Err(StateError::Conflict { .. })), "{written:?}");
    for (name, reading) in &before.services {
        let state::Reading::Stored(stored) = reading else { panic!("readable") };
        let (record, max) = (stored.record.clone(), 1 << 20);
        let written = state::write(&cluster, ENVIRONMENT, name, Some(&**stored), record, max).await;
        assert!(matches!(written, Err(StateError::Conflict { .. })), "{written:?}");
        let deleted = state::remove(&cluster, &state::record_name(ENVIRONMENT, name), &stored.resource_version).await;
        assert!(matches!(deleted, Err(StateError::Conflict { .. })), "{deleted:?}");
    }
    let again = state::take_over(&cluster, ENVIRONMENT, before, true, (1 << 20, 4)).await;
    assert!(matches!(again, Err(StateError::Conflict { .. })), "one of two that take over is the first");
}
