// VMX
