#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| amqp_proto::fuzz_engine::fuzz_engine(data));
