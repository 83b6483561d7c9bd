use std::time::Duration;

use super::tape::bytes_of;
use super::*;
use crate::config::EngineConfig;
use crate::event::{Event, Usage};
use crate::fakes::{Collected, FIRST_LETTER, FakeBackend, Letters};
use crate::figures::ClassFigures;
use crate::parking_lot::{InferenceWorkerPool, ResourceCost};

fn requests(limits: ReplayLimits) -> LiveRequests {
    LiveRequests::new(limits, Arc::new(EngineMetrics::new()), Clock::by_hand())
}

/// Two answers to five tokens; four tokens are expected.
fn enter(requests: &LiveRequests, id: &str, tenant: &str) -> Arc<LiveRequest> {
    let request = Request { tenant: tenant.to_owned(), n: 2, ..Request::new(id, vec![1; 5]) };
    let cost = ResourceCost { prefill_tokens: 5, expected_tokens: 4, ..ResourceCost::default() };
    let metadata = TaskMetadata { cost, ..crate::stepper::metadata(&request, Instant::now()) };
    requests.enter(&request, metadata).unwrap()
}

fn end(requests: &LiveRequests, request: &Arc<LiveRequest>, error: Option<RequestError>) -> bool {
    requests.end(request, End { usage: request.usage(), error })
}

fn token(id: u32) -> Event {
    Event::Token { index: 0, id, text: id.to_string(), logprob: None }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn numbers(mut stream: AttachedStream) -> Vec<u64> {
    block_on(async {
        let mut numbers = Vec::new();
        while let Some(event) = stream.next().await {
            numbers.push(event.unwrap().0);
        }
        numbers
    })
}

#[test]
fn each_tenant_has_its_own_figures_and_they_add_up() {
    let requests = requests(ReplayLimits::default());
    let deadline = RequestError::Deadline { allowed: Duration::ZERO };
    for (number, error) in
        [None, Some(RequestError::Cancelled), Some(deadline), Some(RequestError::NoRoom)].into_iter().enumerate()
    {
        assert!(end(&requests, &enter(&requests, &number.to_string(), "ada"), error));
    }
    requests.refuse(&enter(&requests, "refused", "ada"));
    let live = ["a", "b", "c"].map(|id| enter(&requests, id, "ada"));
    live[1].set_state(RequestState::Running);
    live[1].set_blocks(7);
    live[2].set_state(RequestState::Parked);
    let expected =
        Totals { submitted: 8, refused: 1, completed: 1, cancelled: 1, expired: 1, failed: 1, ..Totals::default() };
    let hers = requests.own_figures("ada");
    assert_eq!(hers.totals, expected);
    let normal = ClassFigures { waiting: 1, waiting_tokens: 9, running: 1, parked: 1, ..hers.classes[1] };
    assert_eq!((hers.classes[1], hers.running_seqs, hers.blocks), (normal, 2, 7));
    let nothing = OwnFigures::new(Totals::default(), std::iter::empty());
    assert_eq!(requests.own_figures("bob"), nothing, "he is told of nothing");
    let one = TenantFigures { waiting: 1, waiting_tokens: 9, active: 2, ..TenantFigures::new("ada") };
    assert_eq!(requests.tenants(), [one]);
    live.iter().for_each(|request| assert!(end(&requests, request, None)));
    assert_eq!(requests.tenants(), []);
}

#[test]
fn a_request_ends_once_and_with_what_it_had_done_if_its_outlet_is_just_dropped() {
    let requests = Arc::new(requests(ReplayLimits::default()));
    let request = enter(&requests, "dropped", "ada");
    let (outlet, mut stream) = crate::stream::open(Arc::clone(&request), Arc::clone(&requests), 8);
    assert_eq!((request.usage().prompt_tokens, request.end()), (0, None), "it has not run");
    request.set_state(RequestState::Running);
    request.set_generated(3);
    drop(outlet);
    let End { usage, error } = request.end().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (5, 3));
    assert_eq!((error, request.state()), (&Some(RequestError::Stopped), RequestState::Ended));
    assert_eq!(stream.try_next(), Some(Event::Failed(RequestError::Stopped)));
    assert!(!end(&requests, &request, None));
    let totals = requests.own_figures("ada").totals;
    assert_eq!((totals.completed, totals.failed), (0, 1));
}

#[test]
fn a_name_is_free_again_when_its_request_has_ended() {
    let requests = requests(ReplayLimits::default());
    let first = enter(&requests, "a", "ada");
    let twin = Request::new("a", vec![1]);
    let again = || requests.enter(&twin, crate::stepper::metadata(&twin, Instant::now()));
    assert!(matches!(again(), Err(Refusal::Invalid { param, .. }) if param == "request_id"));
    assert_eq!(requests.own_figures("ada").totals.submitted, 1, "it was not counted");
    end(&requests, &first, None);
    assert!(requests.find(first.id()).is_none());
    let second = again().unwrap();
    assert!(Arc::ptr_eq(&requests.find(first.id()).unwrap(), &second));
}

#[test]
fn the_memory_for_tenants_is_bounded_and_those_who_are_here_are_not_forgotten() {
    let requests = requests(ReplayLimits { finished: 0, ..ReplayLimits::default() });
    requests.state.lock().sums.most = Some(8);
    let _here = enter(&requests, "busy", "busy");
    for number in 0..100 {
        let name = number.to_string();
        end(&requests, &enter(&requests, &name, &name), None);
        assert!(requests.state.lock().sums.len() <= 8);
    }
    let totals = |tenant| requests.own_figures(tenant).totals;
    assert_eq!((totals("busy").submitted, totals("99").completed), (1, 1));
    assert_eq!(totals("0"), Totals::default());
}

#[test]
fn a_stream_can_be_read_from_any_position_while_it_runs_and_after() {
    let requests = requests(ReplayLimits::default());
    let request = enter(&requests, "a", "ada");
    (0..3).for_each(|number| request.record(&token(number)));
    let early = requests.attach(request.id(), 1).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (3..10).for_each(|number| request.record(&token(number)));
            end(&requests, &request, None);
            request.record(&Event::Done(Usage::default()));
        });
        assert_eq!(numbers(early), (1..=10).collect::<Vec<_>>());
    });
    assert_eq!(numbers(requests.attach(request.id(), 8).unwrap()), [8, 9, 10]);
    assert!(!request.is_followed());
}

#[test]
fn a_stream_is_joined_at_its_next_event_and_not_beyond() {
    let requests = requests(ReplayLimits::default());
    let request = enter(&requests, "a", "ada");
    (0..3).for_each(|number| request.record(&token(number)));
    let next = requests.attach(request.id(), 3).unwrap();
    assert!(!next.is_over());
    let beyond = |from, events, ended| {
        let error = requests.attach(request.id(), from).unwrap_err();
        assert_eq!(error, AttachError::TooFarAhead { from, events, ended });
    };
    beyond(4, 3, false);
    beyond(u64::MAX, 3, false);
    request.record(&Event::Done(Usage::default()));
    assert!(!next.is_over());
    assert!(requests.attach(request.id(), 4).unwrap().is_over());
    beyond(5, 4, true);
    assert_eq!(numbers(next), [3]);
    assert!(!request.is_followed());
}

#[test]
fn what_is_forgotten_is_said() {
    let requests = requests(ReplayLimits { events: 4, ..ReplayLimits::default() });
    let request = enter(&requests, "a", "ada");
    let mut slow = requests.attach(request.id(), 0).unwrap();
    (0..10).for_each(|number| request.record(&token(number)));
    assert_eq!(requests.attach(request.id(), 5).unwrap_err(), AttachError::TooFarBack { from: 5, oldest: 6 });
    let said = block_on(slow.next()).unwrap();
    assert_eq!(said.unwrap_err(), AttachError::TooFarBack { from: 0, oldest: 6 });
    assert_eq!(block_on(slow.next()).unwrap().unwrap(), (6, token(6)));
}

#[test]
fn memory_is_bounded_for_each_stream_and_for_all_that_have_finished() {
    let each = bytes_of(&token(0));
    let requests = requests(ReplayLimits { bytes: 4 * each, finished_bytes: 9 * each, ..ReplayLimits::default() });
    for name in ["a", "b", "c"] {
        let request = enter(&requests, name, "ada");
        (0..9).for_each(|number| request.record(&token(number)));
        assert_eq!((request.tape.remembered(), request.tape.bytes()), ((5..9, false), 4 * each));
        end(&requests, &request, None);
    }
    assert_eq!(requests.remembered(), 2, "three times four are more than nine");
    assert_eq!(requests.attach(&"a".into(), 8).unwrap_err(), AttachError::Unknown("a".into()));
    // One event that is larger than all of it is delivered all the same.
    let request = enter(&requests, "d", "ada");
    let large = Event::Token { index: 0, id: 1, text: "x".repeat(10 * each), logprob: None };
    let reader = requests.attach(request.id(), 0).unwrap();
    request.record(&large);
    request.record(&Event::Done(Usage::default()));
    assert_eq!(request.tape.remembered(), (1..2, true), "it is forgotten as soon as there is another");
    drop(reader);
}

#[test]
fn finished_streams_expire_by_age_and_by_number() {
    let requests = requests(ReplayLimits { finished: 2, keep: Duration::from_secs(10), ..ReplayLimits::default() });
    let ends = |name| assert!(end(&requests, &enter(&requests, name, "ada"), None));
    ["a", "b", "c"].into_iter().for_each(ends);
    assert_eq!(requests.attach(&"a".into(), 0).unwrap_err(), AttachError::Unknown("a".into()));
    assert!(requests.attach(&"b".into(), 0).is_ok());
    requests.clock().advance(Duration::from_secs(11));
    ends("d");
    assert_eq!(requests.remembered(), 1, "the others are too old");
}

#[test]
fn a_new_stream_of_the_same_name_is_not_forgotten_with_the_old_one() {
    let requests = requests(ReplayLimits { finished: 1, ..ReplayLimits::default() });
    end(&requests, &enter(&requests, "a", "ada"), None);
    let new = enter(&requests, "a", "ada");
    end(&requests, &enter(&requests, "b", "ada"), None);
    assert!(Arc::ptr_eq(&requests.find(new.id()).unwrap(), &new));
}

#[test]
fn of_two_requests_with_one_name_at_once_one_is_refused_and_the_others_stream_is_whole() {
    // Nobody reads before both are answered: whoever is taken is still there.
    let config = EngineConfig { stream_capacity: 8, ..EngineConfig::default() };
    let pool = InferenceWorkerPool::start(Box::new(FakeBackend::new(100, 4, 200)), Arc::new(Letters), config).unwrap();
    for round in 0..50 {
        let name = format!("twin{round}");
        let twin = Request { max_tokens: Some(50), ignore_eos: true, ..Request::new(name, vec![FIRST_LETTER; 5]) };
        let start = std::sync::Barrier::new(2);
        let results = std::thread::scope(|scope| {
            let submit = || {
                start.wait();
                pool.submit(twin.clone())
            };
            [(); 2].map(|()| scope.spawn(submit)).map(|one| one.join().unwrap())
        });
        let mut taken: Vec<_> = results.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1, "one of them is taken");
        assert!(Collected::all(&mut taken[0]).is_done());
        let again = pool.streams().attach(&twin.id, 0).unwrap();
        assert_eq!(numbers(again).len(), 52, "fifty tokens, a finish and the end");
    }
}
