// Package mcp lets AI programs look at a supervisor and, where a person agrees, change it: a server of the Model Context
// Protocol.
//
// What only looks is answered at once. What changes something asks first, and which way depends on the client:
//
//	it can ask its user (elicitation)    it is asked to, and the change is made on a yes
//	it cannot                            the change is laid on the desk of approvals; after `supervisor approve ID` the
//	                                     same call, with that ID, makes it
//	Trust is set                         the client asks its user by itself, as it was told that the tool changes things
//
// A yes is bound to the very change that was shown, for a while, and once. Text that programs have printed is bounded, and
// handed over inside a fence that says that it is no instruction; secrets are masked by the API before they come here.
package mcp
