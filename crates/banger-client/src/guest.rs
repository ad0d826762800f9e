//! Entering a guest: the daemon's door to its agent, the agent's hello, and a command.

use std::time::Duration;

use crate::client::{Client, ClientError};
use banger_agent_proto::{CONTROL_PORT, ExecStart, HelloReply, HelloRequest};
use banger_api::{ChannelQuery, VmView, route};
use banger_guest::{AgentClient, AgentError, ExecSession};

use crate::VERSION;

/// How long the daemon may take to let us in: it knows how long a guest may take, and waits for the next boot of one that
/// reboots.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(120);
/// How long the guest's agent may take to say who it is: one that hangs is reported soon.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// How long the guest may take to start a command: it may boot beside it.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Why a guest cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The daemon could not be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent did not answer, or refused.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Connects to the agent of a guest; nothing is said yet.
///
/// # Errors
/// [`GuestError`].
async fn connect(client: &Client, vm: &VmView) -> Result<AgentClient, GuestError> {
    let path = route::OPEN_VM_CHANNEL.of(&vm.id).asking(&ChannelQuery { port: CONTROL_PORT });
    let stream = client.upgrade(path, CONNECT_DEADLINE).await?;
    Ok(AgentClient::connect(stream).await?)
}

/// Connects to the agent of a guest and checks its version.
///
/// # Errors
/// [`GuestError`].
pub async fn enter(client: &Client, vm: &VmView) -> Result<AgentClient, GuestError> {
    let agent = connect(client, vm).await?;
    agent.hello(VERSION, HELLO_DEADLINE).await?;
    Ok(agent)
}

/// Asks a guest about itself.
///
/// # Errors
/// [`GuestError`].
pub async fn hello(client: &Client, vm: &VmView, request: HelloRequest) -> Result<HelloReply, GuestError> {
    Ok(connect(client, vm).await?.hello_for(VERSION, request, HELLO_DEADLINE).await?)
}

/// Starts a command in a guest.
///
/// # Errors
/// [`GuestError`].
pub async fn start(client: &Client, vm: &VmView, command: ExecStart) -> Result<ExecSession, GuestError> {
    let agent = connect(client, vm).await?;
    // Asked at once, not one after the other: a command in a running VM costs one round trip.
    let hello = agent.hello(VERSION, HELLO_DEADLINE);
    let (_, session) = tokio::try_join!(hello, agent.exec(command, START_DEADLINE))?;
    Ok(session)
}
