fn main() -> std::process::ExitCode {
    duramen_fuzz::blind::main()
}
