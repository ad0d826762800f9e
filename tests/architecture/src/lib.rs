//! The tests of this package compare ARCHITECTURE.md with the code; the package has no code of its own.
