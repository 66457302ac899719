//! Changing policies one by one, and linking templates.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use duramen::{Authorizer, Limits, Policies, PolicyUpdate};

use crate::Figure;
use crate::counting::allocated_bytes;
use crate::generate::TEMPLATE;

/// How many changes are made.
const CHANGES: usize = 2_000;

pub(crate) fn measure(
    directory: &Path,
    report: &mut impl FnMut(Figure),
) -> Result<(), Box<dyn Error>> {
    let authorizer = Authorizer::builder()
        .limits(Limits::default().with_input_bytes(1 << 30))
        .policies(Policies::new().file(directory.join("policies.cedar")))
        .build()?;
    let of = format!("update of {}", authorizer.policy_count());
    let (mut micros, mut bytes) = (Vec::new(), Vec::new());
    let mut cedar = Vec::new();
    for i in 0..CHANGES {
        let update = if i % 4 == 3 {
            PolicyUpdate::new().remove(format!("new{}", i - 2))
        } else {
            let text = format!(
                "permit(principal in Group::\"g{}\", action == Action::\"read\", resource == Doc::\"new{i}\") \
                 when {{ principal.level >= {i} }};",
                i % 300
            );
            let (parsed, allocated) = allocated_bytes(|| {
                cedar_policy::Policy::parse(None, &text)?
                    .to_pst()
                    .map_err(Box::<dyn Error>::from)
            });
            parsed?;
            cedar.push(allocated as f64 / 1e3);
            PolicyUpdate::new().add(format!("new{i}"), text)
        };
        let start = Instant::now();
        let (changes, allocated) = allocated_bytes(|| authorizer.update_policies(update));
        micros.push(start.elapsed().as_secs_f64() * 1e6);
        bytes.push(allocated as f64 / 1e3);
        changes?;
    }
    micros.sort_by(f64::total_cmp);
    bytes.sort_by(f64::total_cmp);
    cedar.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    report(Figure::new(&of, "us a change, median", at(&micros, 50)).at_most(1_000.0));
    report(Figure::new(&of, "us a change, p99", at(&micros, 99)));
    report(Figure::new(&of, "us a change, worst", at(&micros, 100)));
    report(Figure::new(
        &of,
        "kB allocated a change, median",
        at(&bytes, 50),
    ));
    // Cedar's lexer makes its tables anew for each text.
    let cedar = at(&cedar, 50);
    report(Figure::new(&of, "kB of it for parsing, by Cedar", cedar));
    report(Figure::new(&of, "kB by Duramen", at(&bytes, 50) - cedar).at_most(300.0));
    Ok(())
}

pub(crate) fn measure_links(report: &mut impl FnMut(Figure)) -> Result<(), Box<dyn Error>> {
    const LINKS: usize = 100_000;
    let mut policies = Policies::new().text(TEMPLATE);
    for i in 0..LINKS {
        let (user, folder) = (format!("u{}", i % 1_000), format!("f{}", i % 400));
        policies = policies.link(
            "policy0",
            format!("link{i}"),
            Some(("User", user.as_str()).into()),
            Some(("Folder", folder.as_str()).into()),
        );
    }
    let before = crate::load::megabytes("VmRSS");
    let builder = Authorizer::builder().policies(policies);
    let start = Instant::now();
    let authorizer = builder.build()?;
    let seconds = start.elapsed().as_secs_f64();
    let of = format!("{} links", authorizer.policy_count());
    report(Figure::new(
        &of,
        "us a link, loading",
        seconds * 1e6 / LINKS as f64,
    ));
    let bytes = (crate::load::megabytes("VmRSS") - before) * 1_048_576.0 / LINKS as f64;
    // The builder's own copies of the links are freed by now, so some of the memory is used twice.
    report(Figure::new(&of, "bytes resident a link", bytes).at_most(600.0));
    Ok(())
}
