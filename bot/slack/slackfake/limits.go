package slackfake

// What Slack documents, or, where noted, what was measured.
const (
	maxMessageBlocks = 50
	maxViewBlocks    = 100

	maxPostText   = 40_000 // chat.postMessage cuts here
	maxUpdateText = 4_000
	// maxBlocksJSON is undocumented: posting fails with msg_blocks_too_long near
	// 13,200 characters of serialized blocks. Response URLs have no such bound.
	maxBlocksJSON = 13_200

	maxText            = 3000
	maxFields          = 10
	maxFieldText       = 2000
	maxHeaderText      = 150
	maxMarkdownText    = 12_000 // all markdown blocks of a message together
	maxActions         = 25
	maxContext         = 10
	maxID              = 255 // action_id, block_id, callback_id, external_id
	maxURL             = 3000
	maxAltText         = 2000
	maxImageTitle      = 2000
	maxLabel           = 2000
	maxPlaceholder     = 150
	maxButtonText      = 75
	maxButtonValue     = 2000
	maxAccessibility   = 75
	maxOptions         = 100
	maxOptionGroups    = 100
	maxOptionText      = 75
	maxOptionValue     = 150
	maxChoices         = 10 // checkboxes and radio buttons
	minOverflow        = 2
	maxOverflow        = 5
	maxConfirmTitle    = 100
	maxConfirmText     = 300
	maxConfirmButton   = 30
	maxInputValue      = 3000
	maxTableRows       = 100
	maxTableColumns    = 20
	maxTableCharacters = 10_000

	maxViewTitle       = 24
	maxPrivateMetadata = 3000
	maxViewSize        = 250 * 1024
	maxModals          = 3

	maxHookUses = 5
	maxAckSize  = 20 * 1024 // frames of this size and more are dropped
	maxSockets  = 10
)
