//! The listening socket: bound, announced, its connections dealt out to the threads.

use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::time::Duration;

use streamgate_core::config::{Config, Exposure, Reach};
use tokio::net::TcpListener;

use super::Thread;
use crate::startup::StartupError;

/// Reachable from this machine only, unless configured otherwise.
const LISTEN: &str = "127.0.0.1:8000";

/// How long accepting pauses when the system is out of sockets.
const PAUSE: Duration = Duration::from_millis(50);

/// Binds `listen`, a host and a port.
pub(super) async fn bind(listen: Option<&str>) -> Result<TcpListener, StartupError> {
    let listen = listen.unwrap_or(LISTEN);
    TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, &error))
}

fn cannot_listen(listen: &str, error: &io::Error) -> StartupError {
    let what = format!("cannot listen on {listen}: {error}");
    match error.kind() {
        ErrorKind::AddrInUse => StartupError::Io(format!(
            "cannot listen on {listen}: the port is in use; choose another with --listen"
        )),
        ErrorKind::PermissionDenied => {
            StartupError::Io(format!("{what}; choose a port from 1024 up with --listen"))
        }
        ErrorKind::AddrNotAvailable => {
            StartupError::Io(format!("{what}; choose an address of this machine with --listen"))
        }
        _ => StartupError::Config(format!(
            "{what}; expected HOST:PORT, such as 127.0.0.1:8000, in --listen or server.listen"
        )),
    }
}

/// Refuses to start where core finds that the server would be open by accident.
pub(super) fn guard(
    listener: &TcpListener,
    config: &Config,
    open: bool,
) -> Result<(), StartupError> {
    let addr = listener.local_addr().map_err(|error| StartupError::Io(error.to_string()))?;
    let reach = if is_loopback(addr.ip()) { Reach::Loopback } else { Reach::Network };
    match config.exposure(reach, open) {
        Exposure::Authenticated => {}
        Exposure::Local => tracing::info!("no [auth]: whoever is on this machine may ask"),
        Exposure::Open => tracing::warn!(
            %addr,
            "no [auth]: anyone who reaches this address can use every configured model and its keys"
        ),
        Exposure::Unintended => {
            return Err(StartupError::Config(format!(
                "{addr} can be reached from other machines, and there is no [auth]: anyone could \
                 use every configured model and its keys; configure [auth] (`streamgate keys \
                 create` makes a key), or listen on 127.0.0.1, or, if a proxy in front keeps \
                 others out, use --open or server.open = true"
            )));
        }
    }
    config.check_own_keys(reach).map_err(StartupError::Config)
}

/// Prints the server's address to stdout; programs that start it read this line.
pub(super) fn announce(listener: &TcpListener) -> io::Result<()> {
    let addr = listener.local_addr()?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{addr}")?;
    stdout.flush()
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Deals connections out to the threads in turn, forever.
pub(super) async fn accept(listener: &TcpListener, threads: &[Thread]) {
    for thread in threads.iter().cycle() {
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        thread.take(stream);
    }
}

/// Whether only one client is affected, which gave up before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
