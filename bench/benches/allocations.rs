//! How often a call allocates, and how much: everything from the webhook's first byte to the reply's last, counted on the
//! one thread that hookgate has. The policy and the client have threads of their own.

#[allow(dead_code, unused_imports, reason = "the bodies alone")]
#[path = "../src/body.rs"]
mod body;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, ensure};
use body::Webhook;
use hookgate::app::App;
use hookgate::config::{Address, Config, PolicyUrl};
use hookgate::internals::policy::builtin;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// What buffers and tables grow to has grown by then.
const WARM_UP: u64 = 200;
const COUNTED: u64 = 1_000;

fn main() -> Result<()> {
    let policy = start_policy()?;
    println!("| body | bytes | allocations a call | bytes allocated a call |\n|---|--:|--:|--:|");
    for webhook in Webhook::all()? {
        let (count, bytes) = count(&webhook, policy)?;
        println!("| {} | {} | {count:.1} | {bytes:.0} |", webhook.name, webhook.body.len());
    }
    Ok(())
}

/// Allocations and bytes a call.
fn count(webhook: &Webhook, policy: SocketAddr) -> Result<(f64, f64)> {
    let runtime = single_threaded()?;
    let address = runtime.block_on(async {
        let anywhere = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let policy: PolicyUrl = format!("http://{policy}").parse().map_err(anyhow::Error::msg)?;
        let config =
            Config { listen: anywhere.clone(), admin_listen: anywhere, policy: Some(policy), ..Config::default() };
        let app = App::build(config).await?;
        let address = app.address()?.tcp().context("TCP")?;
        tokio::spawn(app.run(std::future::pending()));
        anyhow::Ok(address)
    })?;
    let client = Client::start(webhook.request(address, 0), address);
    runtime.block_on(client.post(WARM_UP)?)??;
    let posted = client.post(COUNTED)?;
    let mut end = None;
    let counted = allocation_counter::measure(|| end = Some(runtime.block_on(posted)));
    end.context("it ran")???;
    let a_call = |total: u64| total as f64 / COUNTED as f64;
    Ok((a_call(counted.count_total), a_call(counted.bytes_total)))
}

fn single_threaded() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The built-in policy, which allows everything.
fn start_policy() -> Result<SocketAddr> {
    let runtime = single_threaded()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    thread::spawn(move || runtime.block_on(builtin::serve(listener, std::future::pending())));
    Ok(address)
}

/// Posts one request after the other on one connection.
struct Client(mpsc::Sender<(u64, oneshot::Sender<Result<()>>)>);

impl Client {
    fn start(request: Vec<u8>, address: SocketAddr) -> Self {
        let (sender, orders) = mpsc::channel::<(u64, oneshot::Sender<Result<()>>)>();
        thread::spawn(move || {
            let mut connection = None;
            for (times, done) in orders {
                let posted = (0..times).try_for_each(|_| post(&mut connection, &request, address));
                // Nobody may wait for it any more.
                drop(done.send(posted));
            }
        });
        Self(sender)
    }

    /// So many times; ends when the last one is answered.
    fn post(&self, times: u64) -> Result<oneshot::Receiver<Result<()>>> {
        let (done, end) = oneshot::channel();
        self.0.send((times, done)).context("the client has ended")?;
        Ok(end)
    }
}

fn post(connection: &mut Option<TcpStream>, request: &[u8], address: SocketAddr) -> Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(TcpStream::connect(address)?),
    };
    stream.write_all(request)?;
    // An allow is short, and leaves in one piece.
    let mut reply = [0; 4096];
    let length = stream.read(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply[..length]);
    ensure!(reply.contains("hookgate-outcome: allow"), "not an allow: {reply}");
    Ok(())
}
