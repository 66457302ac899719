//! Running cases, and what came of them.

use std::sync::Arc;

use serde::Serialize;

use crate::authorizer::{Authorizer, Pinned};
use crate::epoch::Version;
use crate::explain::{ExplainOptions, Explanation};
use crate::id::EntityUidRef;
use crate::request::Request;
use crate::request::delegation::Delegation;

use super::cases::{Case, Cases};
use super::coverage::{Coverage, Tallies};
use super::expected::Expected;

/// Runs cases on the policies and entities that are in force when it is made.
///
/// ```
/// use duramen::testing::{Expected, PolicyTests};
/// use duramen::{Authorizer, Request};
///
/// # fn authorizer() -> Result<Authorizer, duramen::BuildError> {
/// #     Authorizer::builder().policies("permit(principal, action, resource) when { context.mfa };").build()
/// # }
/// let authorizer = authorizer()?;
///
/// // The requests are those that the application makes.
/// #[derive(serde::Serialize)]
/// struct Context { mfa: bool }
/// let request = Request::new(("User", "ann"), ("Action", "view"), ("Photo", "beach"));
/// let report = PolicyTests::new(&authorizer)
///     .case("with a second factor", &request.context(&Context { mfa: true }), Expected::allow())
///     .case("without one", &request.context(&Context { mfa: false }), Expected::deny())
///     .report();
/// report.assert_passed();
/// report.coverage.assert_complete();
/// # Ok::<(), duramen::BuildError>(())
/// ```
///
/// Each case is a decision like any other: a sink gets its record. The authorizer's clock is the one that the requests are
/// decided by; [`Builder::clock`](crate::Builder::clock) makes it stand still.
#[derive(Debug)]
pub struct PolicyTests {
    pinned: Pinned,
    cases: usize,
    failures: Vec<CaseFailure>,
    tallies: Tallies,
    explain: ExplainOptions,
}

/// What came of the cases. Its `Display` is for people: what failed and why, and the coverage in a line.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
#[must_use = "a case that failed is in it: `assert_passed` fails the test"]
pub struct TestReport {
    /// The policies, schema and entities that were tested.
    pub version: Version,
    /// How many cases were run.
    pub cases: usize,
    /// Those that did not come to what was expected, in their order.
    pub failures: Vec<CaseFailure>,
    /// What the cases tried.
    pub coverage: Coverage,
}

/// A case that did not come to what was expected.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct CaseFailure {
    /// The case's name.
    pub name: String,
    /// The file that it is from, if it is from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// Its number in the file, or among all that were run, from 1.
    pub number: usize,
    /// What is not as expected, a sentence for each.
    pub mismatches: Vec<String>,
    /// Why it was decided so: the policies that decided, and the nearest of those that should have.
    pub explanation: Explanation,
}

impl PolicyTests {
    /// For the policies and entities in force.
    pub fn new(authorizer: &Authorizer) -> Self {
        Self {
            pinned: authorizer.pin(),
            cases: 0,
            failures: Vec::new(),
            tallies: Tallies::default(),
            explain: ExplainOptions::new().with_policies(2),
        }
    }

    /// How much the explanations of failures tell; by default two policies of each part beside those that are named.
    #[must_use]
    pub fn explain(mut self, options: ExplainOptions) -> Self {
        self.explain = options;
        self
    }

    /// Runs a case.
    #[must_use]
    pub fn case(mut self, name: &str, request: &Request<'_>, expected: Expected) -> Self {
        let number = self.cases + 1;
        self.run(name, (None, number), request, &expected);
        self
    }

    /// Runs cases from JSON.
    #[must_use]
    pub fn cases(mut self, cases: &Cases) -> Self {
        for (case, number) in cases.cases.iter().zip(1..) {
            self.run_written(case, (cases.file.clone(), number));
        }
        self
    }

    /// What came of all that was run.
    pub fn report(self) -> TestReport {
        let (_, epoch) = self.pinned.parts();
        TestReport {
            version: epoch.version,
            cases: self.cases,
            failures: self.failures,
            coverage: self.tallies.coverage(epoch),
        }
    }

    fn run_written(&mut self, case: &Case, at: (Option<Arc<str>>, usize)) {
        let actors: Vec<EntityUidRef<'_>> = case.actors.iter().map(Into::into).collect();
        let delegation = Delegation::new(&actors);
        let (principal, action, resource) = (&case.principal, &case.action, &case.resource);
        let mut request = Request::new(principal, action, resource).context_json(&case.context);
        if !actors.is_empty() {
            request = request.delegation(&delegation);
        }
        if let Some(entities) = &case.entities {
            request = request.entities_json(entities);
        }
        self.run(&case.name, at, &request, &case.expected);
    }

    fn run(
        &mut self,
        name: &str,
        (file, number): (Option<Arc<str>>, usize),
        request: &Request<'_>,
        expected: &Expected,
    ) {
        self.cases += 1;
        let response = self.pinned.is_authorized(request);
        self.tallies.add(&self.pinned, request, &response);
        let mismatches = expected.mismatches(&response);
        if mismatches.is_empty() {
            return;
        }
        let named = expected.named().cloned();
        let mut options = self.explain.clone().with_named(named);
        if expected.named().next().is_none() && expected.decision != response.decision() {
            // Of a deny that was expected, the forbids that came near are what matters, and nobody named them.
            options = options.with_everything();
        }
        let explanation = response.explain_with(request, &options);
        self.failures.push(CaseFailure {
            name: name.to_owned(),
            file,
            number,
            mismatches,
            explanation,
        });
    }
}

impl TestReport {
    /// Whether all cases came to what was expected, and there were any: a test that has lost its cases shows nothing.
    pub fn is_passed(&self) -> bool {
        self.cases > 0 && self.failures.is_empty()
    }

    /// For tests: fails with the whole report if a case did, or if there was none.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion for tests, and nothing else")]
    pub fn assert_passed(&self) {
        if !self.is_passed() {
            panic!("{self}");
        }
    }
}
