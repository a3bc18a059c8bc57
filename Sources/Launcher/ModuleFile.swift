/// A file that a Multiboot kernel finds in memory, and the text that comes with it.
public struct ModuleFile: Equatable, Sendable {
  /// The file.
  public var file: InputFile
  /// The module's command line; may be empty.
  public var commandLine: String

  /// Makes a module.
  public init(_ file: InputFile, commandLine: String) {
    self.file = file
    self.commandLine = commandLine
  }
}
