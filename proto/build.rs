//! Compiles the .proto files without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["a2arun/v1/node.proto", "a2arun/v1/types.proto", "a2arun/v1/head.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        // Output travels as shared bytes; a Vec would copy each chunk once more.
        .bytes(".a2arun.v1.LogChunk.data")
        .bytes(".a2arun.v1.StdinChunk.data")
        .compile_fds(descriptors)?;
    // Agents are asked; a2arun is none.
    let agents = protox::compile(["a2a/a2a.proto"], ["proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(agents)?;
    Ok(())
}
