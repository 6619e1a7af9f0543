//! Listening sockets that outlive a hookgate, passed to it as systemd passes them: by their number, from descriptor 3 on.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::process::Command;

/// The shell moves the sockets from its standard input and output to their places, and becomes the program.
const PASS: &str = "exec 3<&0 4>&1 </dev/null >/dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\"";

/// The same command, started with one or two listening sockets.
pub fn activated(command: &Command, sockets: &[&OwnedFd]) -> Command {
    let command = command.as_std();
    let mut shell = Command::new("sh");
    shell.args(["-c", PASS]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let passed = |place: usize| match sockets.get(place) {
        Some(socket) => Stdio::from(socket.try_clone().expect("an open socket")),
        None => Stdio::null(),
    };
    shell.env("LISTEN_FDS", sockets.len().to_string());
    shell.stdin(passed(0)).stdout(passed(1)).stderr(Stdio::piped()).kill_on_drop(true);
    shell
}
