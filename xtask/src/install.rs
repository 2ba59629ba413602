//! Brings in what is missing: said first, then done, then checked.

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use crate::needs::{Need, Source, on_path};

/// Makes sure of every need; does and says nothing if none is missing.
///
/// # Errors
///
/// What could not be installed, and how to install it by hand.
pub(crate) fn ensure(sh: &Shell, needs: &[&'static Need]) -> Result<()> {
    let missing: Vec<_> = needs.iter().copied().filter(|need| !(need.found)(sh)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let manager = PackageManager::of_this_machine();
    eprintln!("Missing on this machine, to be installed now:");
    for need in &missing {
        eprintln!("  {}: {}", need.name, manager.method(need));
    }

    let packages: Vec<_> =
        missing.iter().flat_map(|need| manager.packages(need)).copied().collect();
    if !packages.is_empty() {
        manager.install(sh, &packages).context("please install what is listed above by hand")?;
    }
    for need in missing {
        bring(sh, need)?;
        if !(need.found)(sh) {
            bail!("{} was installed, yet it is not found or too old", need.name);
        }
    }
    Ok(())
}

fn bring(sh: &Shell, need: &Need) -> Result<()> {
    match need.source {
        Source::Packages { .. } => Ok(()),
        Source::Rustup(args) => {
            let added = cmd!(sh, "rustup {args...}").run();
            added.context("without rustup, add this the way your Rust was installed")
        }
        Source::Project { bring, .. } => bring(sh),
    }
}

enum PackageManager {
    Apt,
    Brew,
    /// None that we know; packages are then named as Debian names them.
    Unknown,
}

impl PackageManager {
    fn of_this_machine() -> Self {
        if on_path("apt-get").is_some() {
            PackageManager::Apt
        } else if on_path("brew").is_some() {
            PackageManager::Brew
        } else {
            PackageManager::Unknown
        }
    }

    /// How a need is met here, as a person would type it.
    fn method(&self, need: &Need) -> String {
        let verb = match (&need.source, self) {
            (Source::Rustup(args), _) => return format!("rustup {}", args.join(" ")),
            (Source::Project { with, .. }, _) => return (*with).to_string(),
            (Source::Packages { .. }, PackageManager::Apt) => "apt-get install",
            (Source::Packages { .. }, PackageManager::Brew) => "brew install",
            (Source::Packages { .. }, PackageManager::Unknown) => "Debian calls it",
        };
        format!("{verb} {}", self.packages(need).join(" "))
    }

    fn packages(&self, need: &Need) -> &'static [&'static str] {
        match (&need.source, self) {
            (Source::Packages { brew, .. }, PackageManager::Brew) => brew,
            (Source::Packages { apt, .. }, PackageManager::Apt | PackageManager::Unknown) => apt,
            (Source::Rustup(_) | Source::Project { .. }, _) => &[],
        }
    }

    fn install(&self, sh: &Shell, packages: &[&str]) -> Result<()> {
        match self {
            PackageManager::Apt => apt_get_install(sh, packages),
            PackageManager::Brew => Ok(cmd!(sh, "brew install {packages...}").run()?),
            PackageManager::Unknown => bail!("neither apt-get nor brew is here"),
        }
    }
}

fn apt_get_install(sh: &Shell, packages: &[&str]) -> Result<()> {
    apt_get(sh, &["update"])?;
    apt_get(sh, &[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Never asks: sudo refuses where it would want a password.
fn apt_get(sh: &Shell, args: &[&str]) -> Result<()> {
    let is_root = cmd!(sh, "id -u").quiet().read()? == "0";
    let sudo: &[&str] = if is_root { &[] } else { &["sudo", "-n", "env"] };
    let apt_get = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"];
    Ok(cmd!(sh, "env {sudo...} {apt_get...} {args...}").run()?)
}
