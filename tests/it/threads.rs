//! What callers share between threads, or hand from one to another: it stays so, or this does not compile.

const fn shared<T: Send + Sync>() {}
const fn handed_on<T: Send>() {}

const _: () = {
    use duramen::*;

    shared::<Authorizer>();
    shared::<Pinned>();
    shared::<Version>();
    shared::<OwnedResponse>();
    shared::<Policies>();
    shared::<Entities>();
    shared::<EntityUpdate>();
    shared::<PolicyUpdate>();
    shared::<Limits>();
    shared::<BuildError>();
    shared::<CompileError>();
    shared::<EntityError>();
    shared::<RequestError>();
    shared::<evidence::OwnedRecord>();
    shared::<evidence::MemorySink>();
    shared::<evidence::log::DurableLog>();
    shared::<explain::Explanation>();
    shared::<grant::Grant>();
    shared::<grant::GrantTable>();
    shared::<testing::Cases>();
    shared::<testing::CasesError>();
    shared::<testing::TestReport>();
    handed_on::<Builder>();
    handed_on::<PreparedRequest>();
    handed_on::<Scratch>();
    handed_on::<testing::PolicyTests>();
};
