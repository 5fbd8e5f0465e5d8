#pragma once

#include <cstddef>
#include <string>

namespace examples {

/// The whole text of a file, plain or compressed with gzip (which its first bytes tell). Throws
/// chainrule::IoError, with the name of the file and where it can be said the line, when it cannot
/// be opened or read, when the compressed data are damaged or end too early, and when the text is
/// longer than `most` MB.
std::string read_text_file(const std::string& path, std::size_t most = 256);

/// Throws chainrule::IoError, with the name and the reason, when a file cannot be written. What it
/// holds stays; if there is none, there is none afterwards.
void check_writable(const std::string& path);

/// A piece of a file or of the command line for a message: in quotes, at most 40 characters of it,
/// control characters and bytes that are not ASCII replaced by '?'.
std::string in_quotes(const std::string& text);

}  // namespace examples
