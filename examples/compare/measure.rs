//! Checking and timing both engines.

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use cedar_policy as cedar;
use duramen::{Outcome, PreparedRequest, Request, Response, Session};

use crate::counting::allocations;
use crate::scenario::{Answer, Case, Scenario};

/// How much of the work is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Eval,
    EndToEnd,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eval => "eval",
            Self::EndToEnd => "e2e",
        }
    }
}

/// What was measured: nanoseconds and allocations per decision.
pub(crate) struct Figures {
    pub(crate) cedar_ns: f64,
    pub(crate) duramen_ns: f64,
    pub(crate) cedar_allocs: f64,
    pub(crate) duramen_allocs: f64,
    pub(crate) cedar_p99_ns: f64,
    pub(crate) duramen_p99_ns: f64,
}

/// Rounds in which the engines take turns; an odd number has a median.
pub(crate) const ROUNDS: usize = 31;

/// A round of either engine takes about this long, and of a slow one at least one decision. The same for both, and long:
/// each begins with caches that the other has filled, which would count for more in the shorter round.
const ROUND: Duration = Duration::from_millis(40);

fn ours<'c>(case: &'c Case) -> Request<'c> {
    Request::new(
        case.principal.pair(),
        case.action.pair(),
        case.resource.pair(),
    )
    .context(&case.context)
}

/// How many requests are answered differently by the two engines, or differently from the record.
pub(crate) fn mismatches(scenario: &Scenario) -> usize {
    let engine = cedar::Authorizer::new();
    let mut session = scenario.authorizer.session();
    let mut count = 0;
    for (number, case) in scenario.cases.iter().enumerate() {
        // What is not valid has no answer.
        let cedar = case
            .cedar
            .as_ref()
            .map(|request| Answer::of_cedar(&decide_cedar(&engine, scenario, request)));
        let request = ours(case);
        let duramen = answer(&session.is_authorized(&request));
        let prepared = scenario.authorizer.prepare(&request).ok();
        let prepared = prepared
            .and_then(|mut prepared| answer(&session.is_authorized_prepared(&mut prepared)));
        let decision_only = session.is_allowed(&request);
        let recorded = case.recorded.as_ref();
        let agree = duramen == cedar
            && prepared == cedar
            && decision_only == cedar.as_ref().is_some_and(|cedar| cedar.allowed)
            && (cedar.is_none() || recorded.is_none() || recorded == cedar.as_ref());
        if !agree {
            count += 1;
            eprintln!(
                "{} request {number}: cedar {cedar:?}, duramen {duramen:?}, recorded {recorded:?}",
                scenario.name
            );
        }
    }
    count
}

/// The answer, unless the request was not valid.
fn answer(response: &Response<'_>) -> Option<Answer> {
    (response.outcome() != Outcome::InvalidRequest).then(|| Answer::of_duramen(response))
}

/// The scenario's requests, those that can be prepared.
pub(crate) fn prepared(scenario: &Scenario) -> Vec<PreparedRequest> {
    let cases = scenario.cases.iter();
    cases
        .filter_map(|case| scenario.authorizer.prepare(&ours(case)).ok())
        .collect()
}

pub(crate) fn measure(scenario: &Scenario, mode: Mode) -> Figures {
    let engine = cedar::Authorizer::new();
    let mut session = scenario.authorizer.session();
    let mut prepared = prepared(scenario);

    let cedar = |case: &Case| match mode {
        Mode::Eval => {
            let request = case.cedar.as_ref();
            request.map(|request| black_box(decide_cedar(&engine, scenario, request)));
        }
        Mode::EndToEnd => {
            let request = cedar_request(scenario, case);
            request.map(|request| black_box(decide_cedar(&engine, scenario, &request)));
        }
    };
    let cases = &scenario.cases;
    let cedar_calls = calls_per_round(|number| cedar(&cases[number % cases.len()]));
    let mut duramen = |number: usize| {
        let at = number % cases.len();
        match mode {
            Mode::Eval => decide_prepared(&mut session, &mut prepared[at]),
            Mode::EndToEnd => decide(&mut session, &cases[at]),
        }
    };
    // Twice through everything: the first call of each kind warms the working memory.
    (0..2 * cases.len()).for_each(&mut duramen);
    let duramen_calls = calls_per_round(&mut duramen);

    let cedar_allocs = allocations(|| {
        (0..cedar_calls).for_each(|number| cedar(&cases[number % cases.len()]));
    }) as f64
        / cedar_calls as f64;
    let duramen_allocs =
        allocations(|| (0..cases.len()).for_each(&mut duramen)) as f64 / cases.len() as f64;

    let (mut cedar_rounds, mut duramen_rounds) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Each round goes on where the last one ended: a slow engine, too, is asked all requests in the end.
        let from = round * cedar_calls;
        cedar_rounds.push(per_call(from..from + cedar_calls, |number| {
            cedar(&cases[number % cases.len()]);
        }));
        let from = round * duramen_calls;
        duramen_rounds.push(per_call(from..from + duramen_calls, &mut duramen));
    }
    Figures {
        cedar_ns: median(&mut cedar_rounds),
        duramen_ns: median(&mut duramen_rounds),
        cedar_allocs,
        duramen_allocs,
        cedar_p99_ns: p99(cases.len(), |number| cedar(&cases[number % cases.len()])),
        duramen_p99_ns: p99(cases.len(), &mut duramen),
    }
}

fn decide(session: &mut Session<'_>, case: &Case) {
    black_box(session.is_authorized(black_box(&ours(case))).is_allowed());
}

pub(crate) fn decide_prepared(session: &mut Session<'_>, request: &mut PreparedRequest) {
    black_box(
        session
            .is_authorized_prepared(black_box(request))
            .is_allowed(),
    );
}

fn decide_cedar(
    engine: &cedar::Authorizer,
    scenario: &Scenario,
    request: &cedar::Request,
) -> cedar::Response {
    engine.is_authorized(request, &scenario.policies, &scenario.entities)
}

/// What an application does to ask Cedar: uids and context from its own data. `None` if the request is not valid.
fn cedar_request(scenario: &Scenario, case: &Case) -> Option<cedar::Request> {
    let uid = |(type_name, id): (&str, &str)| {
        cedar::EntityUid::from_type_name_and_id(
            scenario.types[type_name].clone(),
            cedar::EntityId::new(id),
        )
    };
    let context = case
        .context
        .to_cedar_context()
        .unwrap_or_else(|_| cedar::Context::empty());
    cedar::Request::new(
        uid(case.principal.pair()),
        uid(case.action.pair()),
        uid(case.resource.pair()),
        context,
        scenario.validating.as_ref(),
    )
    .ok()
}

/// How many calls make a round.
pub(crate) fn calls_per_round(mut call: impl FnMut(usize)) -> usize {
    let mut calls = 1;
    loop {
        let took = per_call(0..calls, &mut call) * calls as f64;
        let round = ROUND.as_nanos() as f64;
        if took * 4.0 >= round {
            return (calls as f64 * round / took).ceil() as usize;
        }
        calls *= 2;
    }
}

pub(crate) fn per_call(calls: Range<usize>, call: impl FnMut(usize)) -> f64 {
    let number = calls.len() as f64;
    let start = Instant::now();
    calls.for_each(call);
    start.elapsed().as_nanos() as f64 / number
}

/// What the 99th percentile is taken of: each request ten times, or as many as fit into this time, and a hundred at least.
const SINGLE_CALLS: Duration = Duration::from_secs(1);

/// The 99th percentile of single calls, less what reading the clock costs.
fn p99(cases: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut clock: Vec<f64> = (0..10_000)
        .map(|_| Instant::now().elapsed().as_nanos() as f64)
        .collect();
    let clock = median(&mut clock);
    let mut times = Vec::new();
    let began = Instant::now();
    for number in 0..cases.max(1000) * 10 {
        if number >= 100 && began.elapsed() > SINGLE_CALLS {
            break;
        }
        let start = Instant::now();
        call(number);
        times.push(start.elapsed().as_nanos() as f64 - clock);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
