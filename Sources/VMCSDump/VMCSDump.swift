// VMCSDump
