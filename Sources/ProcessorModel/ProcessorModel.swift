// ProcessorModel
