// VMEntryChecks
