// Package approval keeps what programs want to do and a person has to allow first.
//
// A program asks, and gets an ID; a person looks at it and decides; the program spends the approval on exactly the change
// that was shown, once. Nothing is kept across a restart: what was not decided has to be asked again.
//
//	waiting ──approve──► approved ──use──► used
//	   ├──reject──► rejected     └─time─► expired
//	   └──time──► expired
package approval
