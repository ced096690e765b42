// Package v1 holds the nouns of Supervisor: Service, CronJob, their conditions, events and intents.
//
// It is the bottom of the import order: pure values, no I/O, no other package of ours. What a manifest may say,
// what it means when it says nothing (Default), what it may not say (Validate) and which part of it forces a
// restart (RunHash) are decided here and nowhere else.
package v1
