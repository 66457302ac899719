//! What callers share between threads, or hand from one to another: it stays so, or this does not compile. Errors can
//! be sent and boxed.

use std::error::Error;

const fn shared<T: Send + Sync>() {}
const fn handed_on<T: Send>() {}
const fn error<T: Error + Send + Sync + 'static>() {}

const _: () = {
    use duramen::*;

    shared::<Authorizer>();
    // Held across an `.await` by handlers whose futures move between threads.
    shared::<Request<'_>>();
    shared::<Entity<'_>>();
    handed_on::<Response<'_>>();
    shared::<Pinned>();
    shared::<Cursor>();
    shared::<Version>();
    shared::<OwnedResponse>();
    shared::<Policies>();
    shared::<Entities>();
    shared::<EntityUpdate>();
    shared::<PolicyUpdate>();
    shared::<PolicyChanges>();
    shared::<EntitiesUpdated>();
    shared::<Limits>();
    shared::<evidence::FanOut>();
    shared::<evidence::Masks>();
    shared::<evidence::MemorySink>();
    shared::<evidence::OwnedRecord>();
    shared::<evidence::QueueSink>();
    shared::<evidence::log::Checkpoint>();
    shared::<evidence::log::DurableLog>();
    shared::<evidence::log::Verification>();
    shared::<explain::Explanation>();
    shared::<grant::Grant>();
    shared::<grant::GrantTable>();
    shared::<grant::Revocation>();
    shared::<replay::ArchivedPolicies>();
    shared::<replay::PolicyArchive>();
    shared::<replay::UsageSink>();
    shared::<replay::WhatIfReport>();
    shared::<signals::SignalReceiver>();
    shared::<signals::SignalReport>();
    shared::<testing::Cases>();
    shared::<testing::TestReport>();
    handed_on::<Builder>();
    handed_on::<Found<'_>>();
    handed_on::<PreparedRequest>();
    handed_on::<Scratch>();
    handed_on::<Session<'_>>();
    handed_on::<replay::WhatIf>();
    handed_on::<testing::PolicyTests>();

    error::<AttributeError>();
    error::<BuildError>();
    error::<CompileError>();
    error::<EntityError>();
    error::<EntityProblem>();
    error::<EntityUidError>();
    error::<FreshnessError>();
    error::<LimitExceeded>();
    error::<Problem>();
    error::<RequestError>();
    error::<SearchError>();
    error::<VersionDigestError>();
    error::<delegation::ClaimsError>();
    error::<evidence::MaskError>();
    error::<evidence::SinkError>();
    error::<evidence::log::LogError>();
    error::<evidence::log::LogIdError>();
    error::<replay::ArchiveError>();
    error::<replay::ReplayError>();
    error::<signals::SignalError>();
    error::<spiffe::SpiffeIdError>();
    error::<testing::CasesError>();
    error::<values::ExtError>();
};
