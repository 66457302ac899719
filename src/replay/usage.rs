//! Which policies decide, and which never do.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::authorizer::Authorizer;
use crate::decision::{Effect, EnforcementMode};
use crate::epoch::VersionDigest;
use crate::evidence::{
    DecisionRecord, DecisionSink, OwnedPolicy, OwnedRecord, RecordedPolicy, SinkError, Wants,
};
use crate::ext::Datetime;
use crate::id::PolicyId;

/// How often each policy and link has decided, and when last: counted from records.
///
/// A policy *decides* when the decision rests on it: a forbid that applied, or a permit that applied where no forbid did, also
/// where a strict mode or the age of data denied all the same. A
/// permit that never decides grants nothing that anybody used, and is privilege that stands by.
///
/// ```
/// use std::sync::Arc;
/// use duramen::evidence::MemorySink;
/// use duramen::replay::Usage;
/// use duramen::{Authorizer, Request};
///
/// let sink = Arc::new(MemorySink::new(100));
/// let authorizer = Authorizer::builder()
///     .policies(r#"
///         permit(principal, action == Action::"view", resource);
///         @owner("ops@example") @change("CR-7")
///         permit(principal, action == Action::"delete", resource);
///     "#)
///     .sink(Arc::clone(&sink))
///     .build()?;
/// authorizer.is_allowed(&Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")));
///
/// let mut usage = Usage::new();
/// for record in sink.records() {
///     usage.add(&record);
/// }
/// let report = usage.report(&authorizer);
/// let unused: Vec<_> = report.unused().collect();
/// assert_eq!(unused.len(), 1);
/// assert_eq!(unused[0].owner(), Some("ops@example"));
/// assert_eq!(unused[0].change(), Some("CR-7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Where records are samples ([`FilterSink`](crate::evidence::FilterSink)), so are the counts; lost records are told.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    uses: HashMap<PolicyId, Use>,
    decisions: u64,
    lost: u64,
    since: Option<Datetime>,
    until: Option<Datetime>,
    /// Uses of policies for which there was no more room.
    untold: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    decided: u64,
    failed: u64,
    last: Option<Datetime>,
}

/// What the policies in force have done. Made by [`Usage::report`]; displays as a table for people, and serializes to its
/// fields.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct UsageReport {
    /// The digest of the policies in force.
    pub version: VersionDigest,
    /// How many decisions were counted.
    pub decisions: u64,
    /// How many more there were, whose records were lost.
    pub lost: u64,
    /// When the first of them was, as in records.
    pub since: Option<String>,
    /// When the last of them was.
    pub until: Option<String>,
    /// All policies and links in force, in the order of the policy set.
    pub policies: Vec<PolicyUse>,
    /// What is not in force any more and has decided or failed, by id.
    pub gone: Vec<PolicyUse>,
    /// How often policies decided or failed for which [`UsageSink::with_capacity`] left no room.
    pub untold: u64,
}

/// What one policy or link has done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct PolicyUse {
    /// The policy's id.
    pub id: PolicyId,
    /// The id of its template, if it is a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PolicyId>,
    /// Whether it permits or forbids; not known of what is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// How many decisions rested on it.
    pub decided: u64,
    /// When it decided last, as in records.
    pub last: Option<String>,
    /// How often it could not be evaluated.
    pub failed: u64,
}

impl PolicyUse {
    /// Who answers for it: its annotation `@owner`.
    pub fn owner(&self) -> Option<&str> {
        self.annotations.get("owner").map(String::as_str)
    }

    /// What change it came with: its annotation `@change`.
    pub fn change(&self) -> Option<&str> {
        self.annotations.get("change").map(String::as_str)
    }
}

impl UsageReport {
    /// The policies and links in force that have never decided; where [`UsageReport::untold`] is not 0, that are not known to
    /// have.
    pub fn unused(&self) -> impl Iterator<Item = &PolicyUse> {
        self.policies.iter().filter(|policy| policy.decided == 0)
    }
}

impl fmt::Display for UsageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["effect", "decided", "failed", "last decided", "owner"];
        let [effect, decided, failed, last, owner] = head;
        writeln!(
            f,
            "{:<28} {effect:<7} {decided:>8} {failed:>7}  {last:<25} {owner:<14} change",
            "policy"
        )?;
        // What was not told apart may have been done by any of them.
        let (never, none) = match self.untold {
            0 => ("never", "never decided"),
            _ => ("unknown", "are not known to have decided"),
        };
        for policy in self.policies.iter().chain(&self.gone) {
            writeln!(
                f,
                "{:<28} {:<7} {:>8} {:>7}  {:<25} {:<14} {}",
                policy.id.as_str(),
                policy
                    .effect
                    .map_or("gone".into(), |effect| effect.to_string()),
                policy.decided,
                policy.failed,
                policy.last.as_deref().unwrap_or(never),
                policy.owner().unwrap_or("-"),
                policy.change().unwrap_or("-"),
            )?;
        }
        writeln!(
            f,
            "{} of {} policies {none}, in {} decisions",
            self.unused().count(),
            self.policies.len(),
            self.decisions
        )?;
        if self.untold > 0 {
            writeln!(
                f,
                "{} times a policy decided or failed for which there was no room",
                self.untold
            )?;
        }
        if self.lost > 0 {
            writeln!(f, "{} more decisions have no record", self.lost)?;
        }
        Ok(())
    }
}

impl Usage {
    /// Nothing, yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a record. Those of shadow decisions decide nothing and are left out.
    pub fn add(&mut self, record: &OwnedRecord) {
        self.lost = self.lost.saturating_add(record.lost_before);
        if record.mode == EnforcementMode::Shadow {
            return;
        }
        let time = record
            .time
            .as_ref()
            .and_then(|time| Datetime::parse(time).ok());
        let determining = record.determining.iter().map(|policy| &policy.id);
        let errors = record.errors.iter().map(|error| &error.id);
        self.count(time, determining, errors, usize::MAX);
    }

    /// The policies and links that `authorizer` has in force, with what they did. For a log, those of the last record:
    /// [`ArchivedPolicies::authorizer`](super::ArchivedPolicies::authorizer).
    pub fn report(&self, authorizer: &Authorizer) -> UsageReport {
        let epoch = authorizer.epoch();
        let mut gone: HashMap<&PolicyId, &Use> = self.uses.iter().collect();
        let mut policies = Vec::new();
        for number in epoch.in_force() {
            let policy = RecordedPolicy::new(&epoch, number);
            let what = gone.remove(policy.id()).copied().unwrap_or_default();
            let OwnedPolicy {
                id,
                template,
                effect,
                annotations,
            } = OwnedPolicy::of(policy);
            policies.push(PolicyUse {
                template,
                effect: Some(effect),
                annotations,
                ..what.of(id)
            });
        }
        let mut gone: Vec<_> = gone
            .into_iter()
            .map(|(id, what)| what.of(id.clone()))
            .collect();
        gone.sort_by(|a, b| a.id.cmp(&b.id));
        UsageReport {
            version: epoch.version.policies(),
            decisions: self.decisions,
            lost: self.lost,
            since: self.since.map(|time| time.to_string()),
            until: self.until.map(|time| time.to_string()),
            policies,
            gone,
            untold: self.untold,
        }
    }

    /// Counts a decision. Past `capacity` policies, the rest is counted together.
    fn count<'p>(
        &mut self,
        time: Option<Datetime>,
        determining: impl Iterator<Item = &'p PolicyId>,
        errors: impl Iterator<Item = &'p PolicyId>,
        capacity: usize,
    ) {
        self.decisions += 1;
        self.since = self.since.into_iter().chain(time).min();
        self.until = self.until.max(time);
        for id in determining {
            self.count_use(id, capacity, |known| {
                known.decided += 1;
                known.last = known.last.max(time);
            });
        }
        for id in errors {
            self.count_use(id, capacity, |known| known.failed += 1);
        }
    }

    fn count_use(&mut self, id: &PolicyId, capacity: usize, count: impl FnOnce(&mut Use)) {
        if let Some(known) = self.uses.get_mut(id) {
            count(known);
        } else if self.uses.len() < capacity {
            count(self.uses.entry(id.clone()).or_default());
        } else {
            self.untold += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.lost = self.lost.saturating_add(other.lost);
        self.untold += other.untold;
        self.since = self.since.into_iter().chain(other.since).min();
        self.until = self.until.max(other.until);
        for (id, what) in &other.uses {
            let known = self.uses.entry(id.clone()).or_default();
            known.decided += what.decided;
            known.failed += what.failed;
            known.last = known.last.max(what.last);
        }
    }
}

impl Use {
    /// What a policy in no version has done.
    fn of(self, id: PolicyId) -> PolicyUse {
        PolicyUse {
            id,
            template: None,
            effect: None,
            annotations: BTreeMap::new(),
            decided: self.decided,
            last: self.last.map(|time| time.to_string()),
            failed: self.failed,
        }
    }
}

/// Threads count in one of so many places, so that they hardly ever wait for each other.
const SHARDS: usize = 8;

/// How many policies a sink tells apart unless told otherwise.
const CAPACITY: usize = 1 << 20;

/// Counts while decisions are made, without a log: a sink that keeps [`Usage`] in memory.
///
/// Once a policy has decided on a thread's shard, counting it allocates nothing. To have records too, put both in a
/// [`FanOut`](crate::evidence::FanOut). Counts begin when the process does.
///
/// ```
/// use std::sync::Arc;
/// use duramen::replay::UsageSink;
/// use duramen::{Authorizer, Request};
///
/// let usage = Arc::new(UsageSink::new());
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource);")
///     .sink(Arc::clone(&usage))
///     .build()?;
/// authorizer.is_allowed(&Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")));
/// assert_eq!(usage.usage().report(&authorizer).policies[0].decided, 1);
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[derive(Debug)]
pub struct UsageSink {
    shards: [Mutex<Usage>; SHARDS],
    /// For each shard.
    capacity: usize,
}

impl Default for UsageSink {
    fn default() -> Self {
        Self::new()
    }
}

impl UsageSink {
    /// A sink that tells 1,048,576 policies apart.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// A sink that tells up to `policies` policies and links apart; what others do is counted together
    /// ([`UsageReport::untold`]). One that has decided takes some hundred bytes, in the worst case eight times.
    pub fn with_capacity(policies: usize) -> Self {
        Self {
            shards: Default::default(),
            capacity: policies,
        }
    }

    /// What was counted so far.
    pub fn usage(&self) -> Usage {
        let mut all = Usage::new();
        for shard in &self.shards {
            all.merge(&lock(shard));
        }
        all
    }

    fn usage_of_this_thread(&self) -> MutexGuard<'_, Usage> {
        let shard = self.shards.get(shard_of_this_thread());
        lock(shard.unwrap_or(&self.shards[0]))
    }
}

impl DecisionSink for UsageSink {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let mut usage = self.usage_of_this_thread();
        usage.lost = usage.lost.saturating_add(record.lost_before());
        if record.mode() == EnforcementMode::Shadow {
            return Ok(());
        }
        let time = Datetime::try_from(record.time()).ok();
        let determining = record.determining().map(|policy| policy.id());
        let errors = record.errors().map(|error| error.policy().id());
        usage.count(time, determining, errors, self.capacity);
        Ok(())
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        let mut usage = self.usage_of_this_thread();
        usage.lost = usage.lost.saturating_add(lost);
        Ok(())
    }
}

/// Counts are sound whoever panicked: each is one addition.
fn lock(shard: &Mutex<Usage>) -> MutexGuard<'_, Usage> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By the thread's id, which is not asked for again.
fn shard_of_this_thread() -> usize {
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SHARD.with(|shard| {
        shard.get().unwrap_or_else(|| {
            let hash = BuildHasherDefault::<DefaultHasher>::new();
            let hash = hash.hash_one(std::thread::current().id());
            let number = (hash % SHARDS as u64) as usize;
            shard.set(Some(number));
            number
        })
    })
}
