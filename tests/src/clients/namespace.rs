//! A network namespace with a loopback interface and nothing else.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Set inside, or by someone who wants none.
const MARK: &str = "STREAMGATE_TESTS_NAMESPACE";
const ENTER: [&str; 4] = ["--user", "--map-root-user", "--net", "--"];
const LOOPBACK_UP: &str = "ip link set lo up";

/// Starts this program again inside a namespace of its own, in place of this process; returns inside.
///
/// # Errors
///
/// Why there can be none here.
pub fn enter() -> Result<(), String> {
    if std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let mut probe = Command::new("unshare");
    probe.args(ENTER).args(["sh", "-c", LOOPBACK_UP]).stdout(Stdio::null());
    let probed = probe.output().map_err(|error| format!("unshare: {error}"))?;
    if !probed.status.success() {
        return Err(String::from_utf8_lossy(&probed.stderr).trim().to_owned());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let script = format!("{LOOPBACK_UP} && exec \"$0\" \"$@\"");
    let mut inside = Command::new("unshare");
    inside.args(ENTER).args(["sh", "-c", &script]).arg(program).args(std::env::args_os().skip(1));
    Err(inside.env(MARK, "1").exec().to_string())
}
