//! Installs what is missing: lists it, installs it, checks that it is there.

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use crate::requirements::{Requirement, Source, on_path};

/// Installs every missing requirement; silent if there is none.
///
/// # Errors
///
/// What could not be installed; the list printed before states how to do it by hand.
pub(crate) fn ensure(sh: &Shell, requirements: &[&'static Requirement]) -> Result<()> {
    let missing: Vec<_> =
        requirements.iter().copied().filter(|required| !(required.is_installed)(sh)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let manager = PackageManager::of_this_machine();
    eprintln!("Missing on this machine, installing now:");
    for required in &missing {
        eprintln!("  {}: {}", required.name, manager.method(required));
    }

    let packages: Vec<_> =
        missing.iter().flat_map(|required| manager.packages(required)).copied().collect();
    if !packages.is_empty() {
        manager.install(sh, &packages).context("please install what is listed above by hand")?;
    }
    for required in missing {
        install(sh, required)?;
        if !(required.is_installed)(sh) {
            bail!("{} was installed, but is still missing or too old", required.name);
        }
    }
    Ok(())
}

/// Packages have been installed by then, all at once.
fn install(sh: &Shell, required: &Requirement) -> Result<()> {
    match required.source {
        Source::Packages { .. } => Ok(()),
        Source::Rustup(args) => {
            let added = cmd!(sh, "rustup {args...}").run();
            added.context("without rustup, add it the way Rust itself was installed")
        }
        Source::Workspace { install, .. } => install(sh),
    }
}

enum PackageManager {
    Apt,
    Brew,
    /// None that we support; packages are then listed by their Debian names.
    Unknown,
}

impl PackageManager {
    fn of_this_machine() -> Self {
        if on_path("apt-get").is_some() {
            Self::Apt
        } else if on_path("brew").is_some() {
            Self::Brew
        } else {
            Self::Unknown
        }
    }

    /// How a requirement is installed here, as a person would type it.
    fn method(&self, required: &Requirement) -> String {
        let verb = match (&required.source, self) {
            (Source::Rustup(args), _) => return format!("rustup {}", args.join(" ")),
            (Source::Workspace { tool, .. }, _) => return (*tool).to_string(),
            (Source::Packages { .. }, Self::Apt) => "apt-get install",
            (Source::Packages { .. }, Self::Brew) => "brew install",
            (Source::Packages { .. }, Self::Unknown) => "in Debian",
        };
        format!("{verb} {}", self.packages(required).join(" "))
    }

    fn packages(&self, required: &Requirement) -> &'static [&'static str] {
        match (&required.source, self) {
            (Source::Packages { brew, .. }, Self::Brew) => brew,
            (Source::Packages { apt, .. }, Self::Apt | Self::Unknown) => apt,
            (Source::Rustup(_) | Source::Workspace { .. }, _) => &[],
        }
    }

    fn install(&self, sh: &Shell, packages: &[&str]) -> Result<()> {
        match self {
            Self::Apt => apt_get_install(sh, packages),
            Self::Brew => Ok(cmd!(sh, "brew install {packages...}").run()?),
            Self::Unknown => bail!("found neither apt-get nor brew"),
        }
    }
}

fn apt_get_install(sh: &Shell, packages: &[&str]) -> Result<()> {
    apt_get(sh, &["update"])?;
    apt_get(sh, &[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Never prompts: sudo fails where it would need a password.
fn apt_get(sh: &Shell, args: &[&str]) -> Result<()> {
    let is_root = cmd!(sh, "id -u").quiet().read()? == "0";
    let sudo: &[&str] = if is_root { &[] } else { &["sudo", "-n", "env"] };
    let apt_get = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"];
    Ok(cmd!(sh, "env {sudo...} {apt_get...} {args...}").run()?)
}
