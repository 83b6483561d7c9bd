//! Why an engine does not start or change.

/// Why an engine did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A value of the configuration that makes no sense.
    #[error("{field} is {value}; it must be {allowed}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// A setting of the policy that makes no sense.
    #[error(transparent)]
    Policy(#[from] parkade_pool::ConfigError),
    /// The scheduler is not in this build.
    #[error(
        "the scheduler '{name}' is not in this build; build with the feature parking-lot-scheduler, or take another one"
    )]
    SchedulerMissing {
        /// The scheduler's name.
        name: &'static str,
    },
    /// The worker thread could not be started.
    #[error("the engine's thread could not be started: {message}")]
    Thread {
        /// What the system said.
        message: String,
    },
}
