//! Who may ask, as it stands now.

use std::sync::Arc;

use parkade_sync::RwLock;

use super::gateway::Objectives;
use super::open_requests::OpenRequests;
use super::policy::Policy;
use super::rates::RateLimits;

/// The policy in force, and what has been used of it.
pub(crate) struct AccessState {
    policy: RwLock<Option<Arc<Policy>>>,
    pub rates: RateLimits,
    pub open_requests: OpenRequests,
    pub objectives: Objectives,
}

impl AccessState {
    /// For a server with so many connections, behind a gateway with these objectives.
    pub fn new(connections: usize, objectives: Objectives) -> Arc<Self> {
        Arc::new(Self {
            policy: RwLock::new("server.policy", None),
            rates: RateLimits::default(),
            open_requests: OpenRequests::new(connections),
            objectives,
        })
    }

    /// Keys, rates and weights in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.explicit_policy().unwrap_or_default()
    }

    /// The policy that was set. Before that the engines keep the settings that they were started with.
    pub fn explicit_policy(&self) -> Option<Arc<Policy>> {
        self.policy.read().clone()
    }

    /// Puts a policy in force.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write() = Some(Arc::new(policy));
    }
}
