//! Single calls that other shells make: what a host has, and stopping a run without its head.

use std::time::Duration;

use a2arun_core::ids::RunId;
use a2arun_proto::v1::control_client::ControlClient;
use a2arun_proto::{MESSAGE_MAX_BYTES, v1};
use a2arun_rt::tls::Purpose;
use tonic::transport::Channel;

use crate::session::control::from_status;
use crate::session::types::InstanceReport;
use crate::session::wire;
use crate::target::{ConnectError, Connection, OnDemand, Target, Verdict};

/// What a host says of its runs.
#[derive(Debug)]
pub(crate) struct HostReport {
    pub(crate) runs: Vec<RunReport>,
}

/// A run on a host.
#[derive(Debug)]
pub(crate) struct RunReport {
    pub(crate) run: String,
    pub(crate) instances: Vec<InstanceReport>,
}

/// Asks a host for one run, or for all; `usage` costs it a look at each process.
///
/// # Cancel safety
/// Dropping it ends the call.
pub(crate) async fn describe(
    target: &Target,
    run: Option<&RunId>,
    usage: bool,
    on_demand: OnDemand,
) -> Result<HostReport, ConnectError> {
    let (mut client, connection) = client(target, on_demand).await?;
    let request = v1::DescribeRequest { usage, run: run.map(RunId::to_string).unwrap_or_default() };
    let reply = client.describe(request).await.map_err(|s| refused(&connection, &s))?.into_inner();
    let unreadable = |e: a2arun_proto::convert::WireError| ConnectError::Broken {
        address: "noded".to_owned(),
        why: e.to_string(),
    };
    let mut runs = Vec::with_capacity(reply.runs.len());
    for state in reply.runs {
        let identity = state.run.unwrap_or_default();
        let instances: Result<Vec<_>, _> =
            state.instances.into_iter().map(wire::instance).collect();
        runs.push(RunReport { run: identity.run, instances: instances.map_err(unreadable)? });
    }
    Ok(HostReport { runs })
}

/// Stops a run's instances on a host; gives how many were told.
///
/// # Cancel safety
/// Dropping it ends the call; the host may have taken it.
pub(crate) async fn stop_run(
    target: &Target,
    run: &RunId,
    grace: Option<Duration>,
    on_demand: OnDemand,
) -> Result<u32, ConnectError> {
    let (mut client, connection) = client(target, on_demand).await?;
    let request = v1::StopRunRequest { run: run.to_string(), grace_ms: grace.map(wire::millis) };
    let reply = client.stop_run(request).await.map_err(|s| refused(&connection, &s))?;
    Ok(reply.into_inner().stopping)
}

struct Peer {
    verdict: Verdict,
    tls: bool,
}

async fn client(
    target: &Target,
    on_demand: OnDemand,
) -> Result<(ControlClient<Channel>, Peer), ConnectError> {
    let Connection { channel, address, verdict } =
        target.connect(Purpose::Control, on_demand).await?;
    let client = ControlClient::new(channel).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let peer = Peer { verdict, tls: address.is_some() };
    Ok((client, peer))
}

fn refused(peer: &Peer, status: &tonic::Status) -> ConnectError {
    match peer.verdict.alert() {
        Some(alert) => ConnectError::RefusedUs(alert.to_owned()),
        None => from_status(status, peer.tls),
    }
}
