//! `cargo xtask audit`: what we depend on, against `deny.toml`.

use crate::{
    run::{Result, Steps, cargo, run, succeeds},
    tools,
};

pub(crate) fn audit() -> Result {
    tools::cargo_deny()?;
    let mut steps = Steps::default();
    steps.step("licences, bans, sources", || {
        run(cargo().args([
            "deny",
            "--workspace",
            "--locked",
            "check",
            "licenses",
            "bans",
            "sources",
        ]))
    })?;
    steps.step("advisories", advisories)?;
    steps.summary();
    Ok(())
}

/// Known vulnerabilities. The list of them comes over the network; without it there is nothing to compare with.
fn advisories() -> Result {
    if succeeds(cargo().args(["deny", "fetch", "db"])) {
        return run(cargo().args(["deny", "--workspace", "--locked", "check", "advisories"]));
    }
    println!(
        "NOT CHECKED: the advisory database could not be fetched. Try again where `cargo deny fetch db` works; \
         nothing else of the audit depends on it."
    );
    Ok(())
}
