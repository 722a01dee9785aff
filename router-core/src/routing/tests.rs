//! Networks of [`super::Routing`] in virtual time.

mod addresses;
mod bounds;
mod convergence;
mod neighbours;
mod random;
mod restarts;
mod ticks;
mod world;
