fn main() -> std::process::ExitCode {
    duramen_fuzz::differential::main()
}
