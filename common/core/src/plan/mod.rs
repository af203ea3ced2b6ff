//! From a checked job and its hosts to a plan: immutable, numbered, made without looking at
//! anything.
//!
//! ```text
//! JobSpec + Hosts + PlanOptions ─▶ plan() ─▶ Plan                     auto ports unknown
//! Plan + Bindings (what the hosts gave)   ─▶ ResolvedPlan             every URL known
//! ResolvedPlan + JobSpec + LaunchInputs   ─▶ HostLaunch per host      templates and instances
//! ```
//!
//! One code serves `a2arun plan` and the launch, so what is shown is what is done.

mod config_value;
mod env;
mod error;
mod facts;
mod json;
#[cfg(feature = "spec")]
mod known;
mod mapping;
mod model;
mod names;
mod origin;
mod placing;
mod pool;
mod ports;
mod replicas;
pub mod reserved;
mod resolved;
mod secrets;
mod setup;
mod subst;

pub use env::{BaseEnv, HostLaunch, LaunchBuilder, LaunchError, LaunchInputs, LaunchWarning, Site};
pub use error::PlanError;
pub use facts::{
    EnvFile, LaunchFacts, PythonChoice, PythonFacts, PythonSource, Venv, VenvKind, choose_python,
};
pub use json::{InstanceJson, PeerJson, PlanJson, WarningJson};
#[cfg(feature = "spec")]
pub(crate) use known::KnownNames;
pub use mapping::plan;
pub use model::{
    Amounts, HostIx, HostOrigin, Hosts, MapBy, MapByError, Plan, PlanAgent, PlanHost, PlanInstance,
    PlanOptions, PlannedPort, StageIx,
};
pub use origin::Origin;
pub use resolved::{Bindings, ResolveError, ResolvedPlan};
pub use secrets::{is_secret_variable, job_values, secret_values};
pub use setup::SETUP_FAILED;
