/* cmd_headload.h - the commands below `mohvit headload`, a file each. */
#ifndef MOHVIT_CMD_HEADLOAD_H
#define MOHVIT_CMD_HEADLOAD_H

#include "tools/program/command.h"
#include "tools/program/head_load_choice.h"

extern const command command_headload_count, command_headload_export, command_headload_plot,
    command_headload_stats, command_headload_report;

#endif
