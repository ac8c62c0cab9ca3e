// What the operating system does to the process, turned into the exit codes of main().
#pragma once

namespace mquant::cli {

/// For the first line of main():
/// - descriptors 0 to 2 that are closed are opened, so that no file of ours gets one of them and log lines with it;
///   nothing can be read from them, and writing to stdout is an error as it was
/// - a file beyond `ulimit -f` is a failed write instead of a signal
/// - a mapped file that shrinks is ErrorKind::input
/// - a library that calls exit(), as OpenMP's does when it gets no thread or no memory, is ErrorKind::resources
///
/// std::terminate is handled from before main(), since libraries may run out of memory when they are loaded:
/// std::bad_alloc is ErrorKind::resources there, anything else ErrorKind::internal.
void prepare_process();

/// The end of main(): from here on exit() is ours.
int leave(int code);

}  // namespace mquant::cli
