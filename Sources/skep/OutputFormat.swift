import ArgumentParser
import Explanation
import Glibc

/// The form of a command's output.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  /// For people.
  case text
  /// For programs: one object of JSON on a line.
  case json
}

/// The option that all commands on dumps and fields have.
struct OutputOptions: ParsableArguments {
  @Option(help: ArgumentHelp("text, or json: one object a line.", valueName: "format"))
  var format = OutputFormat.text

  /// Colours on a terminal that has them only.
  var style: Style {
    let isPlain = getenv("NO_COLOR") != nil || getenv("TERM").map { String(cString: $0) } == "dumb"
    return Style(hasColours: isatty(STDOUT_FILENO) == 1 && !isPlain)
  }
}
