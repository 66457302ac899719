//! Explaining a decision from its record.

use crate::decision::Outcome;
use crate::evidence::OwnedRecord;
use crate::explain::{ExplainOptions, ExplainedPolicy, Explanation};

use super::answer::Answer;
use super::archive::Written;
use super::decide::ArchivedPolicies;
use super::reason::NotReplayable;

/// Why a record cannot be explained or exported.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It cannot be decided again, for this reason.
    #[error("not replayable: {0}")]
    NotReplayable(NotReplayable),
    /// Its delegation has no hop of that number.
    #[error("the record has no such hop: there are {hops}, counted from 0")]
    NoSuchHop {
        /// How many there are.
        hops: usize,
    },
    /// Its policies and inputs come to something else than it says. The explanation is of that.
    #[error(
        "the record says {}, and its policies and inputs come to {}: verify the log it is from",
        recorded,
        explanation.outcome
    )]
    Different {
        /// What the record says.
        recorded: Outcome,
        /// Why its policies and inputs come to what they come to.
        explanation: Box<Explanation>,
    },
}

impl ArchivedPolicies {
    /// Explains the decision that a record is about, from what it says was read, with the usual [`ExplainOptions`].
    ///
    /// Files and lines are those that the policies were loaded from when the archive got them. Of a request with a
    /// [`Delegation`](crate::Delegation), the first hop that was denied is explained, and the principal's when all were
    /// allowed, as [`Response::explain`](crate::Response::explain) does; [`Self::explain_hop`] explains another.
    ///
    /// # Errors
    /// [`ReplayError::NotReplayable`] for the reasons of
    /// [`Replayed::NotReplayable`](super::Replayed::NotReplayable); [`ReplayError::Different`] when the record does not say
    /// what its policies and inputs come to.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use duramen::evidence::MemorySink;
    /// use duramen::replay::PolicyArchive;
    /// use duramen::{Authorizer, Request};
    ///
    /// # let directory = std::env::temp_dir().join(format!("duramen-doc-explain-{}", std::process::id()));
    /// let sink = Arc::new(MemorySink::new(10));
    /// let authorizer = Authorizer::builder()
    ///     .policies("permit(principal, action, resource) when { context.hour < 18 };")
    ///     .sink(Arc::clone(&sink))
    ///     .build()?;
    /// let archive = PolicyArchive::open(&directory)?;
    /// archive.keep(&authorizer)?;
    /// let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    /// assert!(!authorizer.is_allowed(&request.context_json(r#"{ "hour": 20 }"#)));
    ///
    /// let record = &sink.records()[0];
    /// let explanation = archive.load(record.version.policies())?.explain(record)?;
    /// assert_eq!(explanation.policies[0].reasons[0].values[0].value, "20");
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, record: &OwnedRecord) -> Result<Explanation, ReplayError> {
        self.explain_with(record, &ExplainOptions::default())
    }

    /// The same, and how much of it.
    ///
    /// # Errors
    /// As [`Self::explain`].
    pub fn explain_with(
        &self,
        record: &OwnedRecord,
        options: &ExplainOptions,
    ) -> Result<Explanation, ReplayError> {
        let hops = record.delegation.iter().flat_map(|chain| &chain.hops);
        let denied = |outcome| outcome != Some(Outcome::Allowed);
        let speaking = hops.map(|hop| hop.outcome).position(denied);
        let explanation = self.explain_hop_with(record, speaking.unwrap_or(0), options)?;
        if explanation.outcome != record.outcome || record.decision != record.outcome.decision() {
            // It says one thing as its outcome, and another of its hops or as its decision.
            return Err(ReplayError::Different {
                recorded: record.outcome,
                explanation: Box::new(explanation),
            });
        }
        Ok(explanation)
    }

    /// Explains what was decided of one hop of a delegation, by its number: 0 is the request's principal, 1 the first actor.
    /// Of a request without a delegation the principal is the only hop.
    ///
    /// # Errors
    /// As [`Self::explain`], and [`ReplayError::NoSuchHop`]. Only the hop is decided again:
    /// [`replay`](Self::replay) does so with the whole chain.
    pub fn explain_hop(
        &self,
        record: &OwnedRecord,
        hop: usize,
    ) -> Result<Explanation, ReplayError> {
        self.explain_hop_with(record, hop, &ExplainOptions::default())
    }

    /// The same, and how much of it.
    ///
    /// # Errors
    /// As [`Self::explain_hop`].
    pub fn explain_hop_with(
        &self,
        record: &OwnedRecord,
        hop: usize,
        options: &ExplainOptions,
    ) -> Result<Explanation, ReplayError> {
        let (recorded, expected) = match &record.delegation {
            None => (Some(record.outcome), Answer::recorded(record)),
            Some(chain) => match chain.hops.get(hop) {
                Some(hop) => (hop.outcome, Answer::of_recorded_hop(hop)),
                None => (None, Answer::recorded(record)),
            },
        };
        let explained = self.with_hop(record, hop, |authorizer, request| {
            let response = authorizer.is_authorized(request);
            let answer = Answer::of(&response)?;
            Ok::<_, String>((answer, response.explain_with(request, options)))
        });
        let explained = explained.map_err(ReplayError::NotReplayable)?;
        let (Some(explained), Some(recorded)) = (explained, recorded) else {
            let hops = record.delegation.as_ref();
            return Err(ReplayError::NoSuchHop {
                hops: hops.map_or(1, |chain| chain.hops.len()),
            });
        };
        let (answer, mut explanation) = explained
            .map_err(NotReplayable::unreadable)
            .map_err(ReplayError::NotReplayable)?;
        explanation.version = record.version;
        for policy in &mut explanation.policies {
            let text = policy.template.as_ref().unwrap_or(&policy.id);
            if let Some(written) = self.written.get(text) {
                written.place(policy, options.text_bytes);
            }
        }
        let is_consistent =
            expected.bears_out_outcome(recorded, record.ages.is_some()) && self.lists_truly(record);
        if answer != expected || !is_consistent {
            return Err(ReplayError::Different {
                recorded,
                explanation: Box::new(explanation),
            });
        }
        // Strict modes deny what the policies allow.
        explanation.outcome = recorded;
        explanation.decision = recorded.decision();
        Ok(explanation)
    }
}

impl Written {
    /// Moves what an explanation says of the archive's own text to where that text was. Anybody may have written that into the
    /// archive, and a line may have been long: what stands before the policy takes no more than lines are given.
    fn place(&self, policy: &mut ExplainedPolicy, line_bytes: usize) {
        let moved = |line: &mut u32, column: Option<&mut u32>| {
            if let (1, Some(column)) = (*line, column) {
                *column = column.saturating_add(self.column.saturating_sub(1));
            }
            *line = line.saturating_add(self.line.saturating_sub(1));
        };
        let condition = policy.condition.iter_mut();
        let reasons = policy.reasons.iter_mut();
        let scope = policy.scope.iter_mut();
        let places = condition
            .map(|condition| &mut condition.place)
            .chain(reasons.map(|reason| &mut reason.place))
            .chain(scope.map(|miss| &mut miss.place));
        for place in places.flatten() {
            moved(&mut place.line, Some(&mut place.column));
            let byte = |at: usize| at.saturating_add(self.byte);
            place.bytes = byte(place.bytes.start)..byte(place.bytes.end);
        }
        let Some(source) = &mut policy.source else {
            return;
        };
        source.file.clone_from(&self.file);
        moved(&mut source.line, Some(&mut source.column));
        let before = self.column.saturating_sub(1) as usize;
        for line in &mut source.lines {
            if line.number == 1 && before <= line_bytes {
                // What stood before the policy on its first line is not kept.
                line.text.insert_str(0, &" ".repeat(before));
            }
            moved(&mut line.number, None);
        }
    }
}
