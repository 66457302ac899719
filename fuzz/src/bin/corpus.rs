fn main() {
    duramen_fuzz::corpus::main();
}
