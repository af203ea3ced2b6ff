//! Defaults that need more than one field: when an agent is ready, what it speaks.

use std::time::Duration;

use crate::launch::{Lifecycle, Protocol, Readiness, ReadinessCheck};
use crate::spec::model::{AgentSpec, DeploymentSpec, PortSpec, Run};

/// `readiness.deadline` where nothing else says one.
const DEADLINE: Duration = Duration::from_secs(120);

impl AgentSpec {
    /// When an instance is ready, with every default of DESIGN §6 filled in.
    ///
    /// A task, and an agent with protocol `none`, is ready when it was exec'ed unless it asks for
    /// more. Without port, module or probe there is nothing to look at, so the same holds.
    pub fn readiness_of(&self, deployment: &DeploymentSpec) -> Readiness {
        let timeout = deployment
            .health_check
            .as_ref()
            .and_then(|h| h.timeout)
            .filter(|_| self.readiness.check.is_none())
            .unwrap_or(self.readiness.timeout);
        let check = match (&self.readiness.check, self.lifecycle, self.protocol) {
            (Some(check), _, _) => check.clone(),
            (None, Lifecycle::Task, _) | (None, Lifecycle::Service, Protocol::None) => {
                ReadinessCheck::Alive
            }
            (None, Lifecycle::Service, protocol) => self.probe_for(protocol),
        };
        Readiness {
            check,
            deadline: self.readiness.deadline.or(deployment.timeout).unwrap_or(DEADLINE),
            timeout,
            period: self
                .readiness
                .period
                .or_else(|| deployment.health_check.as_ref().and_then(|h| h.interval))
                .unwrap_or(Readiness::default_period()),
        }
    }

    fn probe_for(&self, protocol: Protocol) -> ReadinessCheck {
        if self.port == PortSpec::None {
            return ReadinessCheck::Alive;
        }
        match protocol {
            Protocol::None => ReadinessCheck::Alive,
            Protocol::Auto | Protocol::Http | Protocol::Query | Protocol::A2a => {
                ReadinessCheck::Auto { port: None }
            }
        }
    }

    /// Whether a Python interpreter starts it: decides how config values are written.
    pub fn is_module(&self) -> bool {
        match self.run {
            Run::Module { .. } => true,
            Run::Command(_) | Run::External { .. } | Run::Image => false,
        }
    }

    /// Whether it has a port of its own.
    pub fn has_port(&self) -> bool {
        match self.port {
            PortSpec::None => false,
            PortSpec::Auto | PortSpec::Fixed(_) => true,
        }
    }
}
