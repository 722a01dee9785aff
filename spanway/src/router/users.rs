//! Whether a listener has users checked, and by what.

use std::sync::Arc;

use amqp_adaptor::ListenerConfig;
use anyhow::bail;
use router_core::entity::RouterEntity;
use transport::sasl::{Sasl, SaslConfig};

/// How this router has the users of its listeners checked.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    config: SaslConfig,
}

impl Users {
    pub(crate) fn of(router: &RouterEntity) -> Self {
        let config = SaslConfig { dir: router.sasl_config_dir.clone(), name: router.sasl_config_name.clone() };
        Self { config }
    }

    /// What checks the users of a listener: the system's SASL library, if the listener names a mechanism that needs it, or names none while
    /// the router has a directory of settings for it.
    ///
    /// # Errors
    /// The listener names only mechanisms that the library, or this machine, does not have. If it names others, too, there is a warning.
    pub(crate) fn of_listener(&self, listener: &ListenerConfig) -> anyhow::Result<Option<Arc<Sasl>>> {
        let (ours, theirs): (Vec<&str>, Vec<&str>) = listener
            .sasl_mechanisms
            .iter()
            .map(String::as_str)
            .partition(|name| matches!(*name, "ANONYMOUS" | "EXTERNAL"));
        if theirs.is_empty() && (!ours.is_empty() || self.config.dir.is_none()) {
            return Ok(None);
        }
        let sasl = Sasl::get(&self.config);
        let offered = sasl.as_ref().map_or(&[][..], |sasl| sasl.mechanisms());
        let missing: Vec<&str> =
            theirs.iter().copied().filter(|name| !offered.iter().any(|offered| offered == name)).collect();
        let wrong = match &sasl {
            Ok(_) if missing.is_empty() => return Ok(sasl.ok()),
            Ok(_) => format!("libsasl2 does not offer {} with {self}, but {}", missing.join(", "), offered.join(", ")),
            Err(error) => error.to_string(),
        };
        let name = &listener.name;
        if ours.is_empty() && !theirs.is_empty() && missing.len() == theirs.len() {
            bail!("listener {name}: saslMechanisms: {wrong}");
        }
        tracing::warn!(target: "CONN_MGR", "listener {name}: some mechanisms of SASL are not offered: {wrong}");
        Ok(sasl.ok())
    }
}

impl std::fmt::Display for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.config.dir {
            Some(dir) => write!(f, "{}", dir.join(format!("{}.conf", self.config.name)).display()),
            None => write!(f, "{}.conf", self.config.name),
        }
    }
}
