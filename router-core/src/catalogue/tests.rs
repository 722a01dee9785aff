mod agree;
mod bounds;
mod bytes;
mod world;
